"""From a site's curated table to the matrix that a model sees: the same columns, in the same order, at every site.

Numbers are imputed and scaled; categories become one column for each level but the first (one-hot). What the sites are
asked for once, before training, are moments and the levels that they have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from .scaling import Floats, Moments, Scaling

Table = Mapping[str, NDArray[Any]]


def names(text: object) -> tuple[str, ...]:
    """Return the names in a comma-separated setting."""
    return tuple(name.strip() for name in str(text).split(",") if name.strip())


def texts(record: ConfigRecord, key: str) -> list[str]:
    """Return a list of texts that a record holds."""
    return [str(one) for one in np.atleast_1d(np.array(record[key], dtype=np.str_))]


def integers(record: ConfigRecord, key: str) -> list[int]:
    """Return a list of whole numbers that a record holds."""
    return [int(one) for one in np.atleast_1d(np.array(record[key], dtype=np.int64))]


@lru_cache(maxsize=4)
def read_columns(path: str, wanted: tuple[str, ...]) -> Table:
    """Return columns of a Parquet file: numbers as float64 with NaN for missing, text as text with ``""``."""
    import duckdb

    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in wanted)
    with duckdb.connect(config={"threads": 1}) as connection:
        table = connection.execute(f"SELECT {quoted} FROM read_parquet(?)", [path]).fetchnumpy()
    return {name: _plain(table[name]) for name in wanted}


def read_complete(path: str, wanted: Sequence[str], needed: Sequence[str]) -> Table:
    """Return columns of a Parquet file, those rows that have a value in each of the numeric columns ``needed``."""
    table = read_columns(path, tuple(dict.fromkeys((*wanted, *needed))))
    complete = ~np.any([np.isnan(table[name]) for name in needed], axis=0)
    return {name: values[complete] for name, values in table.items()}


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    values, missing = np.ma.getdata(column), np.ma.getmaskarray(column)
    if values.dtype.kind in "biuf":
        return np.where(missing, np.nan, values.astype(np.float64))
    return np.array(["" if gone or value is None else str(value) for value, gone in zip(values, missing, strict=True)])


@dataclass(frozen=True)
class Wanted:
    """Which columns of the table are features, from the run's configuration.

    Attributes:
        features: names of the columns, in order.
        categorical: those whose values are levels.
        log1p: those that enter as ln(1 + x).
    """

    features: tuple[str, ...]
    categorical: tuple[str, ...]
    log1p: tuple[str, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Wanted:
        """Read the settings ``features``, ``categorical`` and ``log1p``."""
        wanted = cls(names(config["features"]), names(config["categorical"]), names(config["log1p"]))
        stray = sorted({*wanted.categorical, *wanted.log1p} - {*wanted.features})
        if stray:
            raise ValueError(f"`categorical` and `log1p` name what is not among `features`: {', '.join(stray)}.")
        return wanted

    @property
    def numeric(self) -> tuple[str, ...]:
        """Those whose values are numbers."""
        return tuple(name for name in self.features if name not in self.categorical)

    def numbers(self, table: Table) -> Floats:
        """Return the numeric features, ``(rows, numeric)``."""
        columns = [np.log1p(table[name]) if name in self.log1p else table[name] for name in self.numeric]
        return np.column_stack(columns) if columns else np.empty((len(next(iter(table.values()))), 0))

    def describe(self, table: Table, k: int) -> RecordDict:
        """Return what a site says of its features: moments, and how many rows each level has, where these are ``k``."""
        moments = Moments.of(self.numbers(table))
        shown = moments.count >= k
        reply = ConfigRecord(
            {
                "count": np.where(shown, moments.count, 0).tolist(),
                "total": np.where(shown, moments.total, 0).tolist(),
                "squares": np.where(shown, moments.squares, 0).tolist(),
            }
        )
        for name in self.categorical:
            counts = {level: n for level, n in sorted(_counts(table[name]).items()) if n >= k}
            reply[f"levels-{name}"], reply[f"rows-{name}"] = list(counts), list(counts.values())
        return RecordDict({"features": reply})

    def fit(self, replies: Sequence[Message]) -> Features:
        """Return the features that all sites use, from what each has said."""
        records = [reply.content.config_records["features"] for reply in replies]
        keys = ("count", "total", "squares")
        sites = [Moments(*(np.array(record[key], dtype=np.float64) for key in keys)) for record in records]
        scaling = Scaling.fit(sum(sites[1:], start=sites[0]))
        number = dict(zip(self.numeric, zip(scaling.mean, scaling.scale, strict=True), strict=True))
        columns: list[tuple[str, str, float, float]] = []
        for name in self.features:
            if name in number:
                columns.append((name, "", *number[name]))
                continue
            rows: Counter[str] = Counter()
            for record in records:
                rows.update(dict(zip(texts(record, f"levels-{name}"), integers(record, f"rows-{name}"), strict=True)))
            columns += [(name, level, rows[level] / rows.total(), 1.0) for level in sorted(rows)[1:]]
        return Features(
            self,
            tuple(one[0] for one in columns),
            tuple(one[1] for one in columns),
            Scaling(np.array([one[2] for one in columns]), np.array([one[3] for one in columns])),
            {
                name: sorted({level for record in records for level in texts(record, f"levels-{name}")})[:1]
                for name in self.categorical
            },
        )


@dataclass(frozen=True)
class Features:
    """The columns of the matrix.

    Attributes:
        wanted: what they come from.
        columns: name of the feature, for each column.
        levels: the level of which the column is 1; empty for numbers.
        scaling: mean and scale of each column; a level's scale is 1.
        first: each category's first level, which has no column; empty where no site has said of any.
    """

    wanted: Wanted
    columns: tuple[str, ...]
    levels: tuple[str, ...]
    scaling: Scaling
    first: Mapping[str, Sequence[str]]

    @property
    def labels(self) -> list[str]:
        """What the columns are called in results."""
        return [name + (f"={level}" if level else "") for name, level in zip(self.columns, self.levels, strict=True)]

    @property
    def logarithmic(self) -> list[bool]:
        """For each column, whether it enters as ln(1 + x)."""
        return [name in self.wanted.log1p for name in self.columns]

    def record(self) -> ConfigRecord:
        """Return the columns as they are sent to the sites."""
        return ConfigRecord(
            {
                "columns": list(self.columns),
                "levels": list(self.levels),
                "mean": self.scaling.mean.tolist(),
                "scale": self.scaling.scale.tolist(),
                **{f"first-{name}": list(first) for name, first in self.first.items()},
            }
        )

    @classmethod
    def of(cls, wanted: Wanted, record: ConfigRecord) -> Features:
        """Return what ``record`` has made."""
        columns, levels = (texts(record, key) for key in ("columns", "levels"))
        mean, scale = (np.array(record[key], dtype=np.float64) for key in ("mean", "scale"))
        first = {name: texts(record, f"first-{name}") for name in wanted.categorical}
        return cls(wanted, tuple(columns), tuple(levels), Scaling(mean, scale), first)

    def matrix(self, table: Table, k: int) -> Floats:
        """Return the columns, neither imputed nor scaled, with NaN for missing; ``(rows, columns)``.

        A level of a category with fewer than ``k`` rows here counts as missing, as one does that no site has named:
        sums over it would be about too few.
        """
        number = dict(zip(self.wanted.numeric, self.wanted.numbers(table).T, strict=True))
        text = {name: level_texts(table[name]) for name in self.wanted.categorical}
        known = {
            name: {
                *self.first[name],
                *(level for of, level in zip(self.columns, self.levels, strict=True) if of == name),
            }
            for name in text
        }
        seen = {
            name: np.isin(values, [one for one, n in _counts(table[name]).items() if n >= k and one in known[name]])
            for name, values in text.items()
        }
        columns = [
            number[name] if name in number else np.where(seen[name], text[name] == level, np.nan)
            for name, level in zip(self.columns, self.levels, strict=True)
        ]
        return np.column_stack(columns) if columns else np.empty((len(next(iter(table.values()))), 0))


def level_texts(column: NDArray[Any]) -> NDArray[np.str_]:
    """Return levels as text: numbers in short, and nothing for missing."""
    if column.dtype.kind == "f":
        return np.array(["" if np.isnan(value) else f"{value:g}" for value in column])
    return column.astype(np.str_)


def _counts(column: NDArray[Any]) -> Counter[str]:
    return Counter(level for level in level_texts(column).tolist() if level)
