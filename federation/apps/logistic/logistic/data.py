"""Reads a site's curated table, and what the run's configuration says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from logistic.shared.holdout import split
from logistic.shared.scaling import Floats


@dataclass(frozen=True)
class Task:
    """The learning task, from the run's configuration.

    Attributes:
        features: columns of the curated table, in the model's order.
        log1p: those of them that enter as ln(1 + x).
        outcome: the column to predict, 0 or 1.
    """

    features: tuple[str, ...]
    log1p: tuple[str, ...]
    outcome: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Task:
        """Read the task from a Flower run configuration (comma-separated names)."""
        return cls(_names(config["features"]), _names(config["log1p"]), str(config["outcome"]))


@dataclass(frozen=True)
class Site:
    """A site's rows, split; the test rows are never trained on and never enter the moments."""

    x_train: Floats
    y_train: Floats
    x_test: Floats
    y_test: Floats


@lru_cache(maxsize=4)
def read_table(path: str, task: Task, held_out: str = "") -> tuple[Floats, Floats, Floats | None]:
    """Return features ``(rows, features)`` with NaN for missing, labels ``(rows,)``, and the column ``held_out``."""
    import duckdb

    wanted = (*task.features, task.outcome, *filter(None, [held_out]))
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in wanted)
    with duckdb.connect(config={"threads": 1}) as connection:
        table = connection.execute(f"SELECT {quoted} FROM read_parquet(?)", [path]).fetchnumpy()
    columns = []
    for name in task.features:
        values = np.ma.filled(np.ma.asarray(table[name]).astype(np.float64), np.nan)
        columns.append(np.log1p(values) if name in task.log1p else values)
    labels = np.asarray(table[task.outcome], dtype=np.float64)
    return np.column_stack(columns), labels, np.asarray(table[held_out], dtype=np.float64) if held_out else None


def read_site(path: str, task: Task, *, test_share: float, seed: int, held_out: str = "") -> Site:
    """Return a site's rows split into training and held-out rows.

    Args:
        path: of the curated Parquet file.
        task: what is predicted from what.
        test_share: share of each class that is held out, the same rows for the same ``seed``.
        seed: of the split.
        held_out: name of a column that is 1 where a row is held out, 0 where it is not; then there is no drawing.
    """
    x, y, marked = read_table(path, task, held_out)
    if marked is None:
        train, test = split(y, share=test_share, seed=seed)
    else:
        train, test = np.flatnonzero(marked == 0), np.flatnonzero(marked == 1)
    return Site(x[train], y[train], x[test], y[test])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in str(text).split(",") if name.strip())
