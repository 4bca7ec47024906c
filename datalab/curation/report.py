"""What curation has to say about a file: counts, checks and columns, and the part of it a node may announce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict

from datalab.curation.disclosure import few, suppress


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


class Cell(_Record):
    """How many rows have one value of a column, or one in a range of numbers.

    Attributes:
        value: the code; None for a range.
        low: where the range begins; None where it is open.
        high: where it ends, itself not in it; None where it is open.
        count: how many rows; None where that may not be told.
    """

    value: str | None = None
    low: float | None = None
    high: float | None = None
    count: int | None


class Column(_Record):
    """One column of the harmonised table.

    Attributes:
        name: as in the contract.
        type: ``integer`` (64 bits), ``number`` (double) or ``string``.
        unit: the unit of the values, or None.
        description: what it means.
        code_system: of its values, such as ``http://hl7.org/fhir/sid/icd-10``, or None.
        nullable: whether a row may be without a value; None where an earlier release did not say.
        sensitivity: how the contract classifies it (ODCS ``classification``), or ``pseudonym``.
        missing: how many rows have no value; None where that may not be told.
        low: the smallest value shared or undercut by at least as many rows as the disclosure threshold.
        high: the same at the upper end. Extremes that belong to fewer people are never reported.
        cells: how the values are spread: by code, or by range of numbers; with ``missing``, they sum to the rows. Empty
            where there is neither code nor number.
    """

    name: str
    type: str
    unit: str | None
    description: str
    code_system: str | None = None
    nullable: bool | None = None
    sensitivity: str | None = None
    missing: int | None = None
    low: float | None = None
    high: float | None = None
    cells: tuple[Cell, ...] = ()


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
        outcome: the column whose 1 is an event, or None.
        pseudonym: the column by which the holder knows a person, or None.
        replaces: digests that the Parquet file had before people were taken out of it, the oldest first.
        unmapped: of columns with mapped codes, the rows whose local code had no other; None where it may not be told.
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
    outcome: str | None = None
    pseudonym: str | None = None
    replaces: tuple[str, ...] = ()
    unmapped: dict[str, int | None] = {}

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def public(self, threshold: int | None = None, earlier: Sequence[CurationReport] = ()) -> Self:
        """Return the report as its holder may announce it: counts of fewer than ``threshold`` people are None.

        A zero says nothing about anybody and stays, except for events: there, both the rows with and the rows
        without the event must reach the threshold, or the outcome of everybody would be known. Suppression is
        complementary: ``rows_in`` is the sum of its parts, so a part is never hidden alone, nor together with
        parts that make less than the threshold in all.

        Args:
            threshold: at least the contract's own (the default); a lower one is raised to it.
            earlier: what was told of the versions before. A difference of fewer than ``threshold`` people to any of
                them is not told either: where the number of rows gives one away, no count is.
        """
        limit = max(self.disclosure_threshold, threshold or 0)
        rows_in, parts = _suppress_parts(
            self.rows_in, {"rows": self.rows, "rejected": self.rejected_rows, **_keyed(self.excluded)}, limit
        )
        rows = parts["rows"]
        events = self.events
        if events is not None and (rows is None or not limit <= events <= rows - limit):
            events = None
        told = self.model_copy(
            update={
                "rows_in": rows_in,
                "rows": rows,
                "rejected_rows": parts["rejected"],
                "excluded": {name: parts[f"excluded:{name}"] for name in self.excluded},
                "events": events,
                "unmapped": _few_hidden(self, limit, rows, earlier),
                "checks": tuple(_public_check(check, limit) for check in self.checks),
                "columns": tuple(
                    _public_column(
                        column,
                        rows,
                        limit,
                        extremes=limit <= self.disclosure_threshold,
                        earlier=[
                            (one.rows, then) for one in earlier for then in one.columns if then.name == column.name
                        ],
                    )
                    for column in self.columns
                ),
            }
        )
        return _withheld(told) if any(_close(told, one, limit) for one in earlier) else told


_R = TypeVar("_R", bound=CurationReport)


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
        smallest_class: persons (or rows) in the smallest of them; 0 where no row was written.
        dropped: columns left out as direct identifiers.
        banded: columns written as bands, with the width of a band.
        l: fewest values of a sensitive column in a class; None where the contract names none.
        t: greatest distance of a class from all rows; None where the contract names none.
        levels: columns with a hierarchy, and how far they were generalised, from 0.
        pseudonymised: persons who got a pseudonym.
        withheld: by text column, how many values were withheld of each kind.
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
    l: int | None = None  # noqa: E741
    t: float | None = None
    levels: dict[str, int] = {}
    pseudonymised: int = 0
    withheld: dict[str, dict[str, int]] = {}

    @property
    def loss(self) -> float:
        """The share of valid rows that suppression cost, from 0 to 1."""
        valid = self.rows_in - self.rejected_rows
        return self.suppressed / valid if valid else 0.0


def _withheld(report: _R) -> _R:
    """Return a report without a count: with one, what is told of another version would give somebody away."""
    columns = [one.model_copy(update={"missing": None, "low": None, "high": None}) for one in report.columns]
    return report.model_copy(
        update={
            "rows_in": None,
            "rows": None,
            "rejected_rows": None,
            "events": None,
            "excluded": dict.fromkeys(report.excluded),
            "unmapped": dict.fromkeys(report.unmapped),
            "columns": tuple(_hide_cells(one) for one in columns),
            "checks": tuple(one if one.passed else one.model_copy(update={"found": None}) for one in report.checks),
        }
    )


def _few_hidden(
    report: CurationReport, limit: int, rows: int | None, earlier: Sequence[CurationReport]
) -> dict[str, int | None]:
    """Hide counts of unmapped codes that are of a few, leave a few others, or differ by a few from what was told."""
    told: dict[str, int | None] = {}
    for name, count in report.unmapped.items():
        small = count is None or rows is None or few(count, 0, limit) or few(count, rows, limit)
        told[name] = None if small or any(few(count, one.unmapped.get(name), limit) for one in earlier) else count
    return told


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


def _public_column(
    column: Column, rows: int | None, limit: int, *, extremes: bool, earlier: Sequence[tuple[int | None, Column]]
) -> Column:
    """Hide small counts of missing or present values and of cells; extremes stay if they were made for this limit."""
    missing = column.missing
    if rows is None or missing is None or 0 < missing < limit or 0 < rows - missing < limit:
        missing = None
    if any(few(missing, then.missing, limit) for _, then in earlier):
        missing = None
    keep = extremes and rows is not None
    told = column.model_copy(
        update={
            "missing": missing,
            "low": column.low if keep else None,
            "high": column.high if keep else None,
        }
    )
    return _public_cells(told, column, rows, limit, earlier)


def _public_cells(
    told: Column, column: Column, rows: int | None, limit: int, earlier: Sequence[tuple[int | None, Column]]
) -> Column:
    """Hide cells; the missing values are one of them, since all of them together are the rows."""
    counts = [one.count for one in column.cells]
    if not counts:
        return told
    whole = [count for count in (column.missing, *counts) if count is not None]
    before = [
        (total, then)
        for total, then in earlier
        if total is not None and any(one.count is not None for one in then.cells)
    ]
    same = all(_spread(then) == _spread(column) for _, then in before)
    if rows is None or len(whole) != len(counts) + 1 or sum(whole) != rows or not same:
        return _hide_cells(told)
    cells = suppress(
        whole, limit, [(total, (then.missing, *(one.count for one in then.cells))) for total, then in before]
    )
    missing = cells[0] if told.missing is not None else None
    if missing is None and cells[0] is not None:  # hidden for itself above: the cells would give it away
        return _hide_cells(told)
    shown = zip(column.cells, cells[1:], strict=True)
    return told.model_copy(
        update={"missing": missing, "cells": tuple(one.model_copy(update={"count": count}) for one, count in shown)}
    )


def _hide_cells(column: Column) -> Column:
    return column.model_copy(
        update={"cells": tuple(one.model_copy(update={"count": None}) for one in column.cells), "missing": None}
        if column.cells
        else {}
    )


def _spread(column: Column) -> list[tuple[str | None, float | None, float | None]]:
    return [(one.value, one.low, one.high) for one in column.cells]


def _close(now: CurationReport, then: CurationReport, limit: int) -> bool:
    """Return whether two reports, as they are told, differ by a few people in a count or in what is left of a sum."""
    parts = _parts(now), _parts(then)
    pairs = [(now.rows_in, then.rows_in), (now.events, then.events)]
    pairs += [(count, parts[1].get(name)) for name, count in parts[0].items()]
    hidden = [{name for name, count in one.items() if count is None} for one in parts]
    groups = (hidden[0], hidden[1], hidden[0] | hidden[1])
    pairs += [(_together(now, group), _together(then, group)) for group in groups]
    return any(few(one, other, limit) for one, other in pairs)


def _parts(report: CurationReport) -> dict[str, int | None]:
    return {"rows": report.rows, "rejected": report.rejected_rows, **_keyed(report.excluded)}


def _together(report: CurationReport, group: set[str]) -> int | None:
    """Return how many records are in a group of parts, if that can be worked out from what is told."""
    parts = _parts(report)
    hidden = {name for name, count in parts.items() if count is None}
    if report.rows_in is None or not (hidden <= group or hidden.isdisjoint(group)):
        return None
    return report.rows_in - sum(count or 0 for name, count in parts.items() if name not in group)
