"""What curation has to say about a file: counts, checks and columns, and the part of it a node may announce."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Record):
    """One rule and whether the data keeps it.

    Attributes:
        name: short and stable, such as ``row accounting``.
        passed: whether every row keeps the rule.
        detail: the rule in a sentence; never a count or a value of the data.
        found: how many rows break it; None where that may not be told.
    """

    name: str
    passed: bool
    detail: str
    found: int | None = 0


class Column(_Record):
    """One column of the harmonised table.

    Attributes:
        name: as in the contract.
        type: ``integer`` (64 bits), ``number`` (double) or ``string``.
        unit: the unit of the values, or None.
        description: what it means.
        missing: how many rows have no value; None where that may not be told.
        low: the smallest value shared or undercut by at least as many rows as the disclosure threshold.
        high: the same at the upper end. Extremes that belong to fewer people are never reported.
    """

    name: str
    type: str
    unit: str | None
    description: str
    missing: int | None = None
    low: float | None = None
    high: float | None = None


class CurationReport(_Record):
    """The result of curating one raw file; ``rows_in == rows + rejected_rows + sum(excluded.values())``.

    Attributes:
        rows_in: records in the raw file, counted from its bytes, independently of the CSV reader.
        rows: rows of the harmonised table.
        rejected_rows: records that broke the contract and went to the rejects file.
        excluded: rows left out for a stated reason, by the contract's name for it.
        events: rows whose outcome is 1; None where the contract names no outcome, or it may not be told.
        disclosure_threshold: the smallest count that the contract lets anyone see outside the holder.
        parquet_sha256: digest of the harmonised Parquet file.
    """

    contract_id: str
    contract_version: str
    contract_digest: str
    raw_sha256: str
    rows_in: int | None
    rows: int | None
    rejected_rows: int | None
    excluded: dict[str, int | None]
    events: int | None
    disclosure_threshold: int
    checks: tuple[Check, ...]
    columns: tuple[Column, ...]
    parquet_sha256: str
    parquet_bytes: int

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def public(self, threshold: int | None = None) -> Self:
        """Return the report as its holder may announce it: counts of fewer than ``threshold`` people are None.

        A zero says nothing about anybody and stays, except for events: there, both the rows with and the rows
        without the event must reach the threshold, or the outcome of everybody would be known. Suppression is
        complementary: ``rows_in`` is the sum of its parts, so a part is never hidden alone, nor together with
        parts that make less than the threshold in all.

        Args:
            threshold: at least the contract's own (the default); a lower one is raised to it.
        """
        limit = max(self.disclosure_threshold, threshold or 0)
        rows_in, parts = _suppress_parts(
            self.rows_in, {"rows": self.rows, "rejected": self.rejected_rows, **_keyed(self.excluded)}, limit
        )
        rows = parts["rows"]
        events = self.events
        if events is not None and (rows is None or not limit <= events <= rows - limit):
            events = None
        return self.model_copy(
            update={
                "rows_in": rows_in,
                "rows": rows,
                "rejected_rows": parts["rejected"],
                "excluded": {name: parts[f"excluded:{name}"] for name in self.excluded},
                "events": events,
                "checks": tuple(_public_check(check, limit) for check in self.checks),
                "columns": tuple(
                    _public_column(column, rows, limit, extremes=limit <= self.disclosure_threshold)
                    for column in self.columns
                ),
            }
        )


class PreparationReport(_Record):
    """The result of preparing a file at its holder.

    Attributes:
        rows_in: records in the raw file.
        rows_out: rows written.
        rejected_rows: records that broke the contract and were not passed on.
        suppressed: rows left out because their class has fewer than ``k`` rows.
        k: the smallest class that the contract allows; 1 where it asks for no k-anonymity.
        quasi_identifiers: the columns that make a class.
        classes: classes that were written.
        smallest_class: rows in the smallest of them; 0 where no row was written.
        dropped: columns left out as direct identifiers.
        banded: columns written as bands, with the width of a band.
        sha256: digest of the written file.
    """

    contract_id: str
    contract_version: str
    contract_digest: str
    raw_sha256: str
    rows_in: int
    rows_out: int
    rejected_rows: int
    suppressed: int
    k: int
    quasi_identifiers: tuple[str, ...]
    classes: int
    smallest_class: int
    dropped: tuple[str, ...]
    banded: dict[str, int]
    sha256: str

    @property
    def loss(self) -> float:
        """The share of valid rows that suppression cost, from 0 to 1."""
        valid = self.rows_in - self.rejected_rows
        return self.suppressed / valid if valid else 0.0


def _keyed(excluded: dict[str, int | None]) -> dict[str, int | None]:
    return {f"excluded:{name}": count for name, count in excluded.items()}


def _suppress_parts(
    total: int | None, parts: dict[str, int | None], limit: int
) -> tuple[int | None, dict[str, int | None]]:
    """Hide small parts of a published total, and as many larger ones as it takes to keep them hidden."""
    shown = {name: count for name, count in parts.items() if count is not None}
    hidden = {name: count for name, count in shown.items() if 0 < count < limit}
    candidates = sorted(
        (count, name) for name, count in shown.items() if name not in hidden and name != "rows" and count
    )
    while hidden and (len(hidden) == 1 or sum(hidden.values()) < limit):
        if not candidates:  # nothing left to hide behind: the total itself goes
            total = None
            break
        count, name = candidates.pop(0)
        hidden[name] = count
    return total, {name: None if name in hidden else count for name, count in parts.items()}


def _public_check(check: Check, limit: int) -> Check:
    if check.found is not None and 0 < check.found < limit:
        return check.model_copy(update={"found": None})
    return check


def _public_column(column: Column, rows: int | None, limit: int, *, extremes: bool) -> Column:
    """Hide a small count of missing or of present values; extremes stay where they were made for this limit."""
    missing = column.missing
    if rows is None or missing is None or 0 < missing < limit or 0 < rows - missing < limit:
        missing = None
    keep = extremes and rows is not None
    return column.model_copy(
        update={
            "missing": missing,
            "low": column.low if keep else None,
            "high": column.high if keep else None,
        }
    )
