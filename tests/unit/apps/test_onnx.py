"""Models as ONNX: what ONNX Runtime predicts is what the app itself predicts, to 1e-6."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from logistic.model import predict as predict_logistic
from mlp.network import initial, widths
from mlp.server_app import _write_onnx as write_mlp
from mlp.shared.features import Features, Wanted
from mlp.shared.scaling import Floats, Scaling
from regression.model import mean_and_variance
from safetensors.numpy import load_file
from trees.model import coarsen
from trees.model import predict as predict_trees

from catalog.release.looking import look
from tests.support.local_grid import run_app

CLOSE = 1e-6


def sites() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.normal(size=(800, 2)), columns=["a", "b"])
    table["size"] = rng.exponential(5.0, size=800)
    table["kind"] = rng.choice(["u", "v", "w"], size=800)
    chance = 1 / (1 + np.exp(-table["a"] - np.log1p(table["size"]) + 2))
    table["event"] = (rng.uniform(size=800) < chance).astype(int)
    table["count"] = rng.poisson(np.exp(0.3 * table["a"]))
    return {"amsterdam": table[:400], "berlin": table[400:]}


def unseen(columns: int, *, missing: bool = True) -> Floats:
    """Rows that no model has seen, some far out, some values missing; the third column is at least 0."""
    x = np.random.default_rng(5).normal(scale=3.0, size=(300, columns))
    x[:, 2] = np.abs(x[:, 2]) * 4
    if missing:
        x[::7, 0] = np.nan
        x[::5, 2] = np.nan
    return np.asarray(x)


def served(path: Path, x: Floats) -> Floats:
    """Return what ONNX Runtime predicts."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["prediction"], {"features": x})[0])[:, 0]


def logged(x: Floats) -> Floats:
    x = x.copy()
    x[:, 2] = np.log1p(x[:, 2])
    return x


@pytest.mark.parametrize(("family", "outcome"), [("gaussian", "size"), ("binomial", "event"), ("poisson", "count")])
def test_regression(family: str, outcome: str, tmp_path: Path) -> None:
    wanted = {"features": "a,b,kind", "categorical": "kind", "family": family, "outcome": outcome, "bootstrap": 0}
    run_app("regression", sites(), tmp_path, **wanted)
    beta = load_file(tmp_path / "model.safetensors")["coefficients"]
    x = np.column_stack([unseen(3, missing=False)[:, :2], np.eye(2)[np.arange(300) % 2]])
    expected, _ = mean_and_variance(family, beta[0] + x @ beta[1:])
    np.testing.assert_allclose(served(tmp_path / "model.onnx", x), expected, rtol=CLOSE, atol=CLOSE)
    model = onnx.load(tmp_path / "model.onnx")
    about = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert about["columns"] == ["a", "b", "kind=v", "kind=w"]
    x[3, 1] = np.nan  # imputed with the mean of all sites
    assert np.isfinite(served(tmp_path / "model.onnx", x)).all()


def test_logistic(tmp_path: Path) -> None:
    wanted = {"features": "a,b,size", "log1p": "size", "num_server_rounds": 3, "bootstrap": 0}
    run_app("logistic", sites(), tmp_path, **wanted)
    model, x = load_file(tmp_path / "model.safetensors"), unseen(3)
    scaled = Scaling(model["mean"], model["scale"]).apply(logged(x))
    expected = predict_logistic(model["weights"], model["bias"], scaled)
    np.testing.assert_allclose(served(tmp_path / "model.onnx", x), expected, atol=CLOSE)
    run_app("logistic", sites(), tmp_path / "..", **{**wanted, "scaling": "site"})
    assert not (tmp_path.parent / "model.onnx").exists()  # each site scales in its own way


def test_trees(tmp_path: Path) -> None:
    wanted = {"features": "a,b,size", "log1p": "size", "num_server_rounds": 8, "depth": 4, "bootstrap": 0}
    run_app("trees", sites(), tmp_path, **wanted)
    columns, x = json.loads((tmp_path / "columns.json").read_text(encoding="utf-8")), unseen(3)
    coarse = coarsen(logged(x), Scaling(np.array(columns["mean"]), np.array(columns["scale"])))
    expected = predict_trees((tmp_path / "model.json").read_bytes(), coarse)
    assert expected.std() > 0.05
    np.testing.assert_allclose(served(tmp_path / "model.onnx", x), expected, atol=CLOSE)


def test_mlp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random.seed(1)
    arrays = initial(widths("16,8", 3), np.random.default_rng(3))
    scaling = Scaling(np.array([0.1, -0.2, 1.0]), np.array([1.5, 0.5, 2.0]))
    wanted = Wanted(("a", "b", "size"), (), ("size",))
    write_mlp(arrays, Features(wanted, wanted.features, ("", "", ""), scaling, {}), {"outcome": "event"})
    x = unseen(3)
    layer = scaling.apply(logged(x)).astype(np.float32)
    for number in range(3):
        weight, bias = (arrays[f"{2 * number}.{part}"].numpy() for part in ("weight", "bias"))
        layer = layer @ weight.T + bias
        layer = np.maximum(layer, 0) if number < 2 else 1 / (1 + np.exp(-layer))
    np.testing.assert_allclose(served(tmp_path / "model.onnx", x), layer[:, 0], atol=CLOSE)


def test_whoever_releases_a_model_can_look_into_it(tmp_path: Path) -> None:
    run_app("trees", sites(), tmp_path, features="a,b", num_server_rounds=2, bootstrap=0)
    for name in ("model.onnx", "model.json"):
        with (tmp_path / name).open("rb") as source:
            seen = look(name, (tmp_path / name).stat().st_size, source)
        assert seen.known
        assert seen.longest > 10  # nodes of the trees
