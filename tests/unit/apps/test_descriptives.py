"""The descriptives app: what it adds up, against pandas on the pooled rows, and what cannot be worked out from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from descriptives.histogram import Histogram, quantile
from descriptives.suppression import hide_in_list, hide_in_table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support.local_grid import run_app

K = 10


def sites() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(11)
    table = pd.DataFrame(
        {
            "age": rng.normal(60, 12, 900),
            "marker": rng.lognormal(3, 1, 900),
            "grade": rng.choice([1, 2, 3], 900, p=[0.2, 0.5, 0.3]),
            "sex": rng.choice(["female", "male"], 900),
        }
    )
    table["marker"] += table["age"] / 4
    table.loc[::6, "marker"] = np.nan
    return {"amsterdam": table[:300], "berlin": table[300:650], "cracow": table[650:]}


def test_sums_are_those_of_the_pooled_rows(tmp_path: Path) -> None:
    pooled = pd.concat(sites().values())
    report, _ = run_app(
        "descriptives",
        sites(),
        tmp_path,
        numeric="age,marker",
        bounds="age:0:120",
        bins=240,
        categorical="grade,sex",
        tables="grade:sex",
    )
    assert report["rows"] == 900
    for name, found in report["numeric"].items():
        assert found["count"] == pooled[name].count()
        assert found["mean"] == pytest.approx(pooled[name].mean())
        assert found["sd"] == pytest.approx(pooled[name].std())
    for share, found in report["numeric"]["age"]["quantiles"].items():
        exact = pooled["age"].quantile(float(share), interpolation="lower")
        assert found["low"] <= exact <= found["high"]
        assert found["value"] == pytest.approx(exact, abs=1.0)
    np.testing.assert_allclose(report["correlations"]["matrix"], pooled[["age", "marker"]].dropna().corr())
    assert report["categorical"]["grade"]["counts"] == {
        str(level): count for level, count in pooled["grade"].value_counts().sort_index().items()
    }
    exact_table = pd.crosstab(pooled["grade"], pooled["sex"])
    for cell in report["tables"]["grade:sex"]["cells"]:
        assert cell["count"] == exact_table.loc[int(cell["grade"]), cell["sex"]]
        assert cell["sites_hiding"] == 0


def test_a_rare_level_is_hidden_at_its_site_with_another_one(tmp_path: Path) -> None:
    tables = sites()
    berlin = tables["berlin"].copy()
    berlin.loc[berlin.index[:3], "grade"] = 4
    tables["berlin"] = berlin
    report, grid = run_app(
        "descriptives", tables, tmp_path, categorical="grade,sex", tables="grade:sex", correlations=False
    )
    counts = berlin["grade"].value_counts()
    smallest = counts.drop(4).idxmin()
    said = [content.config_records["levels-grade"] for _, content in grid.seen]
    assert [one["hidden"] for one in said].count(True) == 1
    (hiding,) = [one for one in said if one["hidden"]]
    assert hiding["levels"] == sorted({"1", "2", "3"} - {str(smallest)})
    assert "4" not in report["categorical"]["grade"]["counts"]
    assert report["categorical"]["grade"]["sites_hiding_levels"] == 1


def test_two_sums_never_tell_a_few_rows_apart(tmp_path: Path) -> None:
    table = sites()["amsterdam"].copy()
    table["marker"] = table["marker"].fillna(20.0)
    table.loc[table.index[:2], "marker"] = np.nan  # two have an age and no marker
    _, grid = run_app("descriptives", {"amsterdam": table}, tmp_path, numeric="age,marker")
    ((_, content),) = grid.seen
    assert content.array_records["moments"]["count"].numpy().tolist() == [298, 298]
    assert content.array_records["cross"]["rows"].numpy().tolist() == [298]


def can_be_worked_out(counts: np.ndarray, hidden: np.ndarray) -> list[tuple[int, ...]]:
    """Return the hidden cells that the shown ones and the margins determine, by linear algebra."""
    cells = [tuple(cell) for cell in np.argwhere(hidden)]
    lines = [(axis, line) for axis in range(2) for line in range(counts.shape[axis])]
    equations = [[float(cell[axis] == line) for cell in cells] for axis, line in lines]
    matrix = np.array(equations).reshape(len(equations), len(cells))
    rank = np.linalg.matrix_rank(matrix)
    known = []
    for number, cell in enumerate(cells):
        unit = np.zeros((1, len(cells)))
        unit[0, number] = 1
        if np.linalg.matrix_rank(np.vstack([matrix, unit])) == rank:
            known.append(cell)
    return known


tables_of_counts = st.tuples(st.integers(2, 5), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(0, 40))
)


@settings(max_examples=150)
@given(tables_of_counts)
def test_no_small_cell_of_a_table_can_be_worked_out(counts: np.ndarray) -> None:
    hidden = hide_in_table(counts, K)
    assert (counts[~hidden] >= K).all()
    assert can_be_worked_out(counts, hidden) == []
    for line, mask in [*zip(counts, hidden, strict=True), *zip(counts.T, hidden.T, strict=True)]:
        if mask.any() and not mask.all():
            assert mask.sum() >= 2
            assert line[mask].sum() >= K


def test_a_bridge_between_two_cycles_is_hidden_from() -> None:
    counts = np.full((4, 4), 30)
    hidden = np.zeros((4, 4), dtype=bool)
    hidden[:2, :2] = hidden[2:, 2:] = hidden[1, 2] = True  # two cycles, and one cell between them
    assert can_be_worked_out(counts, hidden) == [(1, 2)]
    assert can_be_worked_out(counts, hide_in_table(counts, K, hidden)) == []


@given(arrays(np.int64, st.integers(1, 8), elements=st.integers(0, 40)))
def test_no_small_count_of_a_list_can_be_worked_out(counts: np.ndarray) -> None:
    hidden = hide_in_list(counts, K)
    assert (counts[~hidden] >= K).all()
    if hidden.any() and not hidden.all():
        assert hidden.sum() >= 2
        assert counts[hidden].sum() >= K


@given(
    st.lists(st.lists(st.floats(-5, 105), min_size=0, max_size=60), min_size=1, max_size=3),
    st.sampled_from([0.1, 0.25, 0.5, 0.9]),
)
def test_a_quantile_lies_between_its_bounds(values: list[list[float]], share: float) -> None:
    edges = np.linspace(0, 100, 21)
    histograms = [Histogram.of(np.array(one), edges, K) for one in values]
    for histogram in histograms:
        assert histogram.counts.sum() == 0 or (histogram.counts >= K).all()
    counted = np.sort(np.clip(np.array([value for one in values if len(one) >= K for value in one]), 0, 100))
    found = quantile(histograms, edges, share)
    if len(counted) == 0:
        assert found["value"] is None
        return
    exact = np.quantile(counted, share, method="inverted_cdf")
    low, value, high = (float(found[key] or 0.0) for key in ("low", "value", "high"))
    assert low <= exact <= high
    assert low <= value <= high
