"""The neural network app, where PyTorch is installed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.support.local_grid import run_app


def sites() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(4)
    table = pd.DataFrame(rng.normal(size=(600, 2)), columns=["a", "b"])
    table["event"] = (rng.uniform(size=600) < np.where(table["a"] * table["b"] > 0, 0.9, 0.1)).astype(int)
    return {"amsterdam": table[:250], "berlin": table[250:]}


def test_it_learns_what_no_linear_model_can_and_repeats(tmp_path: Path) -> None:
    models = []
    for _ in range(2):
        random.seed(3)
        report, _ = run_app("mlp", sites(), tmp_path, features="a,b", hidden="16", num_server_rounds=12)
        models.append(load_file(tmp_path / "model.safetensors"))
    assert report["evaluation"]["overall"]["auc-low"] > 0.8
    for name, value in models[0].items():
        np.testing.assert_array_equal(value, models[1][name])


def test_it_is_the_same_function_in_numpy(tmp_path: Path) -> None:
    random.seed(3)
    report, _ = run_app("mlp", sites(), tmp_path, features="a,b", hidden="16", num_server_rounds=3, test_share=0.5)
    model = load_file(tmp_path / "model.safetensors")
    expected = 0.0
    for table in sites().values():
        x = (table[["a", "b"]].to_numpy() - model["mean"]) / model["scale"]
        hidden = np.maximum(x @ model["0.weight"].T + model["0.bias"], 0)
        expected += float((1 / (1 + np.exp(-(hidden @ model["2.weight"].T + model["2.bias"])))).sum())
    said = [one["expected"] for one in report["evaluation"]["sites"].values()]
    assert sum(said) == pytest.approx(expected / 2, rel=0.1)  # on the half of the rows that is held out
