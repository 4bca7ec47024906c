"""Boosting with XGBoost such that a tree shows no value of a row, and no leaf is about few rows."""

from __future__ import annotations

import numpy as np
import xgboost

from trees.grid import REACH, STEPS_PER_SD
from trees.shared.scaling import Floats, Scaling


def coarsen(x: Floats, scaling: Scaling) -> Floats:
    """Return scaled features on a grid that all sites share, missing values left as they are.

    Trees split at values that they have seen: on the grid, these are nobody's.
    """
    scaled = (x - scaling.mean) / scaling.scale
    return np.clip(np.round(scaled * STEPS_PER_SD) / STEPS_PER_SD, -REACH, REACH)


def boost(model: bytes, x: Floats, y: Floats, *, depth: int, rate: float, subsample: float, k: int, seed: int) -> bytes:
    """Return a new tree that improves a model (empty for none) on a site's rows, and not the model itself.

    The second derivative of the logistic loss is at most 1/4 a row, so a leaf whose sum of them is k/4 has k rows.
    """
    parameters = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "tree_method": "hist",
        "max_depth": depth,
        "eta": rate,
        "subsample": subsample,
        "min_child_weight": k / 4,
        "nthread": 1,
        "seed": seed,
    }
    before = load(model) if model else None
    grown = xgboost.train(parameters, xgboost.DMatrix(x, y), num_boost_round=1, xgb_model=before)
    return bytes(grown[grown.num_boosted_rounds() - 1 :].save_raw("json"))


def load(model: bytes) -> xgboost.Booster:
    """Return the model that is in ``model`` (XGBoost's JSON, which holds numbers and nothing to run)."""
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model))
    return booster


def predict(model: bytes, x: Floats) -> Floats:
    """Return the probability of the event for each row."""
    return np.asarray(load(model).predict(xgboost.DMatrix(x)), dtype=np.float64)
