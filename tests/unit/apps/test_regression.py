"""The regression app, against statsmodels on the pooled rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from regression.shared.features import texts
from sklearn.metrics import roc_auc_score

from tests.support.local_grid import run_app

FAMILIES = {"gaussian": sm.families.Gaussian(), "binomial": sm.families.Binomial(), "poisson": sm.families.Poisson()}


def sites(family: str) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(5)
    rows = 500
    table = pd.DataFrame(
        {
            "age": rng.normal(60, 12, rows),
            "marker": rng.lognormal(3, 1, rows),
            "grade": rng.integers(1, 4, rows),
            "sex": rng.choice(["female", "male"], rows),
            "days": rng.uniform(50, 500, rows),
        }
    )
    eta = 0.03 * (table["age"] - 60) + 0.4 * (table["sex"] == "male") - 0.3 * (table["grade"] == 3)
    if family == "gaussian":
        table["y"] = 120 + 10 * eta + rng.normal(0, 5, rows)
    elif family == "binomial":
        table["y"] = (rng.uniform(size=rows) < 1 / (1 + np.exp(-eta))).astype(int)
    else:
        table["y"] = rng.poisson(table["days"] / 100 * np.exp(eta))
    return {"amsterdam": table[:140], "berlin": table[140:300], "cracow": table[300:]}


def pooled_design(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "(intercept)": 1.0,
            "age": table["age"],
            "marker": np.log1p(table["marker"]),
            "grade=2": (table["grade"] == 2).astype(float),
            "grade=3": (table["grade"] == 3).astype(float),
            "sex=male": (table["sex"] == "male").astype(float),
        }
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_pooled_fit(family: str, tmp_path: Path) -> None:
    tables = sites(family)
    exposure = "days" if family == "poisson" else ""
    report, _ = run_app(
        "regression",
        tables,
        tmp_path,
        family=family,
        features="age,marker,grade,sex",
        categorical="grade,sex",
        log1p="marker",
        outcome="y",
        exposure=exposure,
    )
    pooled = pd.concat(tables.values())
    design = pooled_design(pooled)
    exact = sm.GLM(pooled["y"], design, family=FAMILIES[family], exposure=pooled["days"] if exposure else None).fit(
        tol=1e-14, maxiter=100
    )
    found = {one["name"]: one for one in report["coefficients"]}
    assert list(found) == list(design.columns)
    for key, expected in {"estimate": exact.params, "standard_error": exact.bse, "p": exact.pvalues}.items():
        np.testing.assert_allclose([one[key] for one in found.values()], expected, atol=1e-8)
    np.testing.assert_allclose([[one["low"], one["high"]] for one in found.values()], exact.conf_int(), atol=1e-8)
    assert report["deviance"] == pytest.approx(exact.deviance, abs=1e-8)
    assert report["rows"] == 500


def test_how_good_a_logistic_model_is_at_each_site_and_overall(tmp_path: Path) -> None:
    tables = sites("binomial")
    report, _ = run_app("regression", tables, tmp_path, features="age,sex", categorical="sex", outcome="y")
    beta = [one["estimate"] for one in report["coefficients"]]
    areas = []
    for name, one in zip(
        tables, sorted(report["evaluation"]["sites"].values(), key=lambda one: one["rows"]), strict=True
    ):
        table = tables[name]
        score = beta[0] + beta[1] * table["age"] + beta[2] * (table["sex"] == "male")
        areas.append(roc_auc_score(table["y"], score))
        assert one["auc-value"] == pytest.approx(areas[-1])
        assert one["auc-low"] < one["auc-value"] < one["auc-high"]
    overall = report["evaluation"]["overall"]
    assert min(areas) < overall["auc-value"] < max(areas)
    assert overall["auc-low"] < overall["auc-value"] < overall["auc-high"]
    assert overall["observed-to-expected"] == pytest.approx(1.0)  # a logistic fit with an intercept always is
    assert overall["slope-low"] < 1 < overall["slope-high"]


def test_missing_values_are_dropped_or_filled_with_the_mean_of_all_sites(tmp_path: Path) -> None:
    tables = sites("gaussian")
    pooled = pd.concat(tables.values())
    gone = pooled.index[::9]
    tables = {name: table.assign(age=table["age"].where(~table.index.isin(gone))) for name, table in tables.items()}
    pooled = pd.concat(tables.values())
    for missing, table in (
        ("drop", pooled.dropna()),
        ("mean", pooled.assign(age=pooled["age"].fillna(pooled["age"].mean()))),
    ):
        report, _ = run_app(
            "regression", tables, tmp_path, family="gaussian", features="age", outcome="y", missing=missing
        )
        exact = sm.OLS(table["y"], sm.add_constant(table[["age"]])).fit()
        np.testing.assert_allclose([one["estimate"] for one in report["coefficients"]], exact.params, atol=1e-8)
        assert report["rows"] == len(table)


def test_a_level_that_few_have_at_a_site_is_not_summed_there(tmp_path: Path) -> None:
    tables = sites("gaussian")
    rare = tables["berlin"].index[:4]
    tables["berlin"] = tables["berlin"].assign(
        sex=tables["berlin"]["sex"].where(~tables["berlin"].index.isin(rare), "x")
    )
    report, grid = run_app(
        "regression", tables, tmp_path, family="gaussian", features="age,sex", categorical="sex", outcome="y"
    )
    assert report["rows"] == 496
    assert [one["name"] for one in report["coefficients"]] == ["(intercept)", "age", "sex=male"]
    for kind, content in grid.seen:
        if kind == "query.prepare":
            assert "x" not in texts(content.config_records["features"], "levels-sex")


def test_a_site_with_few_events_says_nothing(tmp_path: Path) -> None:
    tables = sites("binomial")
    tables["berlin"] = tables["berlin"].assign(y=0)
    with pytest.raises(ValueError, match="fewer than 10 rows with, or without, the event"):
        run_app("regression", tables, tmp_path, features="age", outcome="y")


def test_features_that_depend_on_each_other_are_named_as_the_fault(tmp_path: Path) -> None:
    tables = {name: table.assign(twice=2 * table["age"]) for name, table in sites("gaussian").items()}
    with pytest.raises(ValueError, match="depend on each other"):
        run_app("regression", tables, tmp_path, family="gaussian", features="age,twice", outcome="y")
