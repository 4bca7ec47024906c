"""Two versions of a dataset beside each other: what became of its columns, its rows and its checks."""

from __future__ import annotations

from typing import Literal, TypeVar

from catalog.records import Line, Number, Record, Slug, Version
from datalab.curation.report import Check, Column, CurationReport

Change = Literal["same", "added", "removed", "changed"]
_T = TypeVar("_T")


class Counts(Record):
    """One count in both versions; None where it may not be told, or was not made."""

    name: Line
    before: int | None
    after: int | None

    @property
    def difference(self) -> int | None:
        """How many more there are now."""
        return None if self.before is None or self.after is None else self.after - self.before


class Columns(Record):
    """One column in both versions; ``changed`` means another type, unit or meaning, not other values."""

    name: str
    change: Change
    before: Column | None
    after: Column | None


class Checks(Record):
    """One check in both versions; ``changed`` means that it passes in one of them only."""

    name: str
    change: Change
    before: Check | None
    after: Check | None


class Comparison(Record):
    """What differs between two versions of a dataset.

    Attributes:
        same_contract: whether both were curated by the same contract file.
        same_data: whether both hold the same bytes.
        counts: ``records``, ``rows``, ``rejected``, ``events`` and a line for each reason to leave rows out.
        columns: those of the version before first.
        checks: the same.
    """

    dataset: Slug
    before: Number
    after: Number
    same_contract: bool
    same_data: bool
    counts: tuple[Counts, ...]
    columns: tuple[Columns, ...]
    checks: tuple[Checks, ...]


def compare(before: Version, after: Version) -> Comparison:
    """Compare two versions of one dataset, as whoever asks may see them."""
    one, two = before.report, after.report
    counted = _counts(one), _counts(two)
    columns = [{column.name: column for column in report.columns} for report in (one, two)]
    checks = [{check.name: check for check in report.checks} for report in (one, two)]
    return Comparison(
        dataset=after.dataset,
        before=before.number,
        after=after.number,
        same_contract=one.contract_digest == two.contract_digest,
        same_data=one.parquet_sha256 == two.parquet_sha256,
        counts=tuple(Counts(name=name, before=old, after=new) for name, old, new in _pairs(*counted)),
        columns=tuple(
            Columns(name=name, change=_change(old, new, same=_form(old) == _form(new)), before=old, after=new)
            for name, old, new in _pairs(*columns)
        ),
        checks=tuple(
            Checks(name=name, change=_change(old, new, same=_passed(old) == _passed(new)), before=old, after=new)
            for name, old, new in _pairs(*checks)
        ),
    )


def _counts(report: CurationReport) -> dict[str, int | None]:
    made = {"records": report.rows_in, "rows": report.rows, "rejected": report.rejected_rows, "events": report.events}
    return {**made, **{f"left out: {reason}": count for reason, count in report.excluded.items()}}


def _pairs(before: dict[str, _T], after: dict[str, _T]) -> list[tuple[str, _T | None, _T | None]]:
    return [(name, before.get(name), after.get(name)) for name in {**before, **after}]


def _change(before: object, after: object, *, same: bool) -> Change:
    if before is None or after is None:
        return "added" if before is None else "removed"
    return "same" if same else "changed"


def _form(column: Column | None) -> tuple[str, str | None, str] | None:
    return (column.type, column.unit, column.description) if column else None


def _passed(check: Check | None) -> bool | None:
    return check.passed if check else None
