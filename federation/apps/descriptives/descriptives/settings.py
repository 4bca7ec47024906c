"""What a run asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from descriptives.histogram import Floats
from descriptives.shared.features import names


@dataclass(frozen=True)
class Settings:
    """What is described.

    Attributes:
        numeric: columns with numbers.
        bounds: lower and upper bound of those whose quantiles are wanted.
        bins: into how many bins these are divided.
        categorical: columns with levels.
        tables: pairs of them.
        correlations: whether those of the numeric columns are wanted.
    """

    numeric: tuple[str, ...]
    bounds: dict[str, tuple[float, float]]
    bins: int
    categorical: tuple[str, ...]
    tables: tuple[tuple[str, str], ...]
    correlations: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """Read a run's configuration.

        Raises:
            ValueError: bounds or tables are not written as they must be, or name other columns.
        """
        numeric, categorical = names(config["numeric"]), names(config["categorical"])
        bounds = {}
        for entry in names(config["bounds"]):
            name, *limits = entry.split(":")
            if name not in numeric or len(limits) != 2 or not float(limits[0]) < float(limits[1]):
                raise ValueError(f"Bounds are written column:low:high, of a numeric column; this is {entry!r}.")
            bounds[name] = (float(limits[0]), float(limits[1]))
        pairs = []
        for entry in names(config["tables"]):
            row, _, column = entry.partition(":")
            if row not in categorical or column not in categorical or row == column:
                raise ValueError(f"Tables are written row:column, of two categorical columns; this is {entry!r}.")
            pairs.append((row, column))
        bins = int(config["bins"])
        if not 2 <= bins <= 10_000:
            raise ValueError("`bins` is between 2 and 10,000.")
        return cls(numeric, bounds, bins, categorical, tuple(pairs), bool(config["correlations"]))

    def edges(self, name: str) -> Floats:
        """Return the edges of a column's bins."""
        return np.linspace(*self.bounds[name], self.bins + 1)
