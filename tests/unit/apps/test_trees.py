"""The trees app, against XGBoost itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from trees.shared.holdout import split

from tests.support.local_grid import run_app


def sites() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(9)
    table = pd.DataFrame(rng.normal(size=(900, 3)), columns=["a", "b", "c"])
    table.loc[::11, "c"] = np.nan
    chance = 1 / (1 + np.exp(-2 * table["a"] * np.sign(table["b"])))
    table["event"] = (rng.uniform(size=900) < chance).astype(int)
    return {"amsterdam": table[:300], "berlin": table[300:600], "cracow": table[600:]}


def trees_of(folder: Path) -> list[dict[str, Any]]:
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return list(model["learner"]["gradient_booster"]["model"]["trees"])


def coarse(table: pd.DataFrame, everything: pd.DataFrame) -> np.ndarray:
    x, pooled = (one[["a", "b", "c"]].to_numpy() for one in (table, everything))
    scaled = (x - np.nanmean(pooled, axis=0)) / np.nanstd(pooled, axis=0)
    return np.asarray(np.clip(np.round(scaled * 8) / 8, -4, 4))


def test_one_site_alone_gets_the_model_that_xgboost_makes(tmp_path: Path) -> None:
    table = sites()["amsterdam"].reset_index(drop=True)
    run_app("trees", {"amsterdam": table}, tmp_path, features="a,b,c", num_server_rounds=6, depth=2)
    x, y = coarse(table, table), table["event"].to_numpy(dtype=float)
    train, test = split(y, share=0.3, seed=0)
    parameters = {"objective": "binary:logistic", "base_score": 0.5, "tree_method": "hist", "max_depth": 2}
    exact = xgboost.train(
        parameters | {"eta": 0.3, "min_child_weight": 2.5, "nthread": 1}, xgboost.DMatrix(x[train], y[train]), 6
    )
    model = xgboost.Booster(model_file=str(tmp_path / "model.json"))
    held_out = xgboost.DMatrix(x[test])
    np.testing.assert_allclose(model.predict(held_out), exact.predict(held_out), atol=1e-6)


def test_sites_together_make_a_model_that_shows_no_value_and_no_small_leaf(tmp_path: Path) -> None:
    tables = sites()
    report, _ = run_app("trees", tables, tmp_path, features="a,b,c", num_server_rounds=8)
    trees = trees_of(tmp_path)
    assert len(trees) == 8 * 3
    for tree in trees:
        for left, threshold, hessian in zip(
            tree["left_children"], tree["split_conditions"], tree["sum_hessian"], strict=True
        ):
            if left == -1:
                assert hessian >= 2.5  # ten rows at least
            else:
                assert threshold * 16 == pytest.approx(round(threshold * 16), abs=1e-4)  # on, or between, grid values
    overall = report["evaluation"]["overall"]
    assert overall["auc-low"] > 0.6
