"""The k-means app, against scikit-learn on the pooled rows."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from tests.support.local_grid import run_app


def sites(rows: int = 120) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(3)
    middles = np.array([[0.0, 0.0], [6.0, 1.0], [2.0, 7.0]])
    made = {}
    for number, name in enumerate(("amsterdam", "berlin", "cracow")):
        x = middles[rng.integers(0, 3, rows)] * 10 + rng.normal(size=(rows, 2)) * 12 + number
        made[name] = pd.DataFrame(x, columns=["a", "b"])
    return made


def test_groups_are_those_of_the_pooled_rows(tmp_path: Path) -> None:
    random.seed(1)
    report, _ = run_app("kmeans", sites(), tmp_path, features="a,b", clusters=3, restarts=8)
    pooled = pd.concat(sites().values())
    scaled = (pooled - pooled.mean()) / pooled.std(ddof=0)
    exact = KMeans(3, n_init=20, random_state=0, tol=0).fit(scaled)
    assert report["rows"] == 360
    np.testing.assert_allclose(report["squares"], exact.inertia_, rtol=1e-9)
    centres = exact.cluster_centers_ * pooled.std(ddof=0).to_numpy() + pooled.mean().to_numpy()
    found = np.array([[one["centre"]["a"], one["centre"]["b"]] for one in report["groups"]])
    np.testing.assert_allclose(found[np.argsort(found[:, 0])], centres[np.argsort(centres[:, 0])], atol=1e-8)


def test_nothing_is_said_of_a_group_with_few_rows(tmp_path: Path) -> None:
    tables = sites()
    far = pd.DataFrame({"a": [900.0] * 4, "b": [900.0] * 4})
    tables["berlin"] = pd.concat([tables["berlin"], far])
    random.seed(1)
    _, grid = run_app("kmeans", tables, tmp_path, features="a,b", clusters=4, restarts=4)
    steps = [content.array_records["sums"] for kind, content in grid.seen if kind == "query.step"]
    hidden = 0
    for sums in steps:
        counts, totals = sums["counts"].numpy(), sums["totals"].numpy()
        assert ((counts == 0) | (counts >= 10)).all()
        assert (totals[counts == 0] == 0).all()
        hidden += counts.sum() == 120
    assert hidden  # the four far rows formed a group, and were not told of
