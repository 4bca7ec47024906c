"""The logistic app's arithmetic, against scikit-learn and against the pooled data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logistic.model import descend, log_loss, predict
from logistic.shared.evaluation import auc, auc_interval
from logistic.shared.holdout import split
from logistic.shared.scaling import Moments, Scaling
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from tests.support.local_grid import run_app


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def data(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    y = (x @ [1.0, -0.5, 0.2] + rng.normal(size=rows) > 0).astype(np.float64)
    return x, y


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=60))
def test_auc_is_scikit_learns_with_ties_too(rows: list[tuple[int, bool]]) -> None:
    score = np.array([one[0] for one in rows], dtype=np.float64)
    y = np.array([one[1] for one in rows], dtype=np.float64)
    if len(set(y)) == 1:
        assert np.isnan(auc(score, y))
    else:
        assert auc(score, y) == pytest.approx(roc_auc_score(y, score))


def test_descent_arrives_where_scikit_learn_does() -> None:
    x, y = data(400)
    weights, bias = descend(np.zeros(3), np.zeros(1), x, y, steps=4000, rate=0.5, l2=0.01)
    exact = LogisticRegression(C=1 / (0.01 * len(y)), tol=1e-10).fit(x, y)
    np.testing.assert_allclose(weights, exact.coef_[0], atol=1e-5)
    np.testing.assert_allclose(bias, exact.intercept_, atol=1e-5)
    assert log_loss(weights, bias, x, y) == pytest.approx(sklearn_log_loss(y, predict(weights, bias, x)))


@given(st.integers(1, 49))
def test_scaling_fitted_at_sites_is_scaling_fitted_on_the_pooled_rows(cut: int) -> None:
    x, _ = data(50)
    x[::7, 1] = np.nan
    apart = Scaling.fit(Moments.of(x[:cut]) + Moments.of(x[cut:]))
    together = Scaling.fit(Moments.of(x))
    np.testing.assert_allclose(apart.mean, together.mean, atol=1e-12)
    np.testing.assert_allclose(apart.scale, together.scale, atol=1e-12)
    np.testing.assert_allclose(together.mean, np.nanmean(x, axis=0))
    np.testing.assert_allclose(together.scale, np.nanstd(x, axis=0))


def test_a_feature_that_one_site_never_measured_is_imputed_with_the_others_mean() -> None:
    x, _ = data(40)
    x[:20, 2] = np.nan
    scaling = Scaling.fit(Moments.of(x[:20]) + Moments.of(x[20:]))
    assert np.all(scaling.apply(x)[:20, 2] == 0)
    assert not np.isnan(scaling.apply(x)).any()


@given(st.integers(4, 200), st.integers(0, 5))
def test_the_split_holds_out_a_share_of_each_class_and_nothing_twice(rows: int, seed: int) -> None:
    y = (np.arange(rows) % 2).astype(np.float64)
    train, test = split(y, share=0.3, seed=seed)
    assert sorted([*train, *test]) == list(range(rows))
    for label in (0, 1):
        assert int((y[test] == label).sum()) == round(0.3 * int((y == label).sum()))


def test_the_interval_contains_the_value_and_repeats() -> None:
    x, y = data(200)
    score = x @ np.array([1.0, -0.5, 0.2])
    interval = auc_interval(score, y, resamples=200, seed=3)
    assert interval["low"] < interval["value"] < interval["high"]
    assert interval == auc_interval(score, y, resamples=200, seed=3)


def test_batches_go_through_all_rows_before_any_comes_again() -> None:
    x, y = data(10)
    steps = [descend(np.zeros(3), np.zeros(1), x, y, steps=n, rate=0.1, l2=0, batch=5, rng=rng(2)) for n in (1, 2)]
    whole = descend(np.zeros(3), np.zeros(1), x, y, steps=1, rate=0.1, l2=0)
    assert not np.allclose(steps[0][0], whole[0])
    np.testing.assert_allclose(steps[1][0], 2 * whole[0], atol=5e-3)  # two half steps, the second from nearly the start


def test_a_proximal_term_holds_the_model_where_it_began() -> None:
    x, y = data(100)
    start = np.ones(3)
    free, held = (descend(start, np.zeros(1), x, y, steps=200, rate=0.1, l2=0, proximal=mu)[0] for mu in (0.0, 10.0))
    assert np.abs(held - start).max() < 0.1 * np.abs(free - start).max()


def test_fedadam_is_algorithm_2_of_its_paper(tmp_path: Path) -> None:
    tables = {}
    for number, name in enumerate(("amsterdam", "berlin")):
        x, y = data(60 + 20 * number, seed=number)
        tables[name] = pd.DataFrame(x, columns=["a", "b", "c"]).assign(event=y.astype(int))
    settings = {"beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3, "server_learning_rate": 0.5, "learning_rate": 0.2}
    run_app("logistic", tables, tmp_path, features="a,b,c", num_server_rounds=4, strategy="fedadam", **settings)
    found = load_file(tmp_path / "model.safetensors")

    model, first, second = np.zeros(4), np.zeros(4), np.zeros(4)
    trained = {name: split(table["event"].to_numpy(), share=0.3, seed=0)[0] for name, table in tables.items()}
    rows = [
        (one[["a", "b", "c"]].to_numpy()[trained[name]], one["event"].to_numpy()[trained[name]])
        for name, one in tables.items()
    ]
    pooled = np.concatenate([x for x, _ in rows])
    mean, scale = pooled.mean(axis=0), pooled.std(axis=0)
    for _ in range(4):
        ends = [
            np.concatenate(descend(model[:3], model[3:], (x - mean) / scale, y, steps=10, rate=0.2, l2=0.001))
            for x, y in rows
        ]
        change = np.average(ends, axis=0, weights=[len(y) for _, y in rows]) - model
        first, second = 0.9 * first + 0.1 * change, 0.99 * second + 0.01 * change**2
        model = model + 0.5 * first / (np.sqrt(second) + 1e-3)
    np.testing.assert_allclose(np.concatenate([found["weights"], found["bias"]]), model, atol=1e-9)


def test_an_auc_of_too_few_of_either_kind_is_not_said(tmp_path: Path) -> None:
    """Of 60 rows 18 are held out; 9 of each kind are too few, and with a smallest group of 5 they are not."""
    tables = {}
    for name in ("amsterdam", "berlin"):
        x, _ = data(60 if name == "amsterdam" else 200)
        tables[name] = pd.DataFrame(x, columns=["a", "b", "c"]).assign(event=np.arange(len(x)) % 2)
    wanted = {"features": "a,b,c", "num_server_rounds": 1, "bootstrap": 20}
    said = []
    for number, smallest in enumerate((10, 5)):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_app("logistic", tables, folder, **wanted, minimum_cell=smallest)
        said.append(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    assert [{"federated-value" in site for site in report.values()} for report in said] == [{False, True}, {True}]
    assert all("federated-accuracy" in site for report in said for site in report.values())


def test_a_site_with_too_few_rows_takes_no_part(tmp_path: Path) -> None:
    x, y = data(230)
    whole = pd.DataFrame(x, columns=["a", "b", "c"]).assign(event=y.astype(int))
    with pytest.raises(ValueError, match="fewer than 10 rows"):
        run_app("logistic", {"amsterdam": whole[:200], "berlin": whole[200:]}, tmp_path, features="a,b,c")
