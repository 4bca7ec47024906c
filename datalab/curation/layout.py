"""What a raw file's header says: which field is which column of the contract, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datalab.curation.contract import Contract, ExportColumn
from datalab.curation.records import read_header
from datalab.errors import BadInputError

_MOST_UNKNOWN = 1_000
"""Columns beside the contract's; a file may have more than are asked for, but each costs memory."""


@dataclass(frozen=True)
class Layout:
    """How the file is written: its fields in order, and which contract column each is (None: unknown).

    Attributes:
        skip: bytes of the header record.
        lines: physical lines that it takes.
        findings: pairs of column and rule.
        unusable: why no row may be used, or None.
    """

    delimiter: str
    fields: tuple[ExportColumn | None, ...]
    skip: int
    lines: int
    findings: tuple[tuple[str, str], ...] = ()
    unusable: str | None = None


def read_layout(contract: Contract, raw: Path, *, prepared: bool) -> Layout:
    """Compare the header of ``raw`` with the columns that the contract expects.

    Raises:
        BadInputError: the file is not plain text, or has far more columns than the contract.
    """
    export = contract.export
    delimiter = "," if prepared else export.delimiter
    if not (export.header or prepared):
        return Layout(delimiter, export.columns, skip=0, lines=0)
    names, skip, lines = read_header(raw, delimiter, "utf-8" if prepared else export.encoding)
    _check_width(raw, len(names), len(export.columns))
    return compare_header(contract, names, delimiter=delimiter, skip=skip, lines=lines, prepared=prepared)


def compare_header(
    contract: Contract, names: Sequence[str], *, prepared: bool, delimiter: str = ",", skip: int = 0, lines: int = 0
) -> Layout:
    """Compare the columns that a file names with those that the contract expects."""
    export = contract.export
    by_header = {column.header: column for column in export.columns}
    if not by_header.keys() & set(names):  # most likely data, which must not be told as names of columns
        return Layout(
            delimiter,
            (None,) * len(names),
            skip=0,
            lines=0,
            findings=(("", "no header"),),
            unusable="The file has no header: its first record names none of the contract's columns."
            + (" Hand in what `datalab dataset prepare` wrote, not the export itself." if prepared else ""),
        )
    expected = export.arriving(prepared=prepared)
    findings: list[tuple[str, str]] = []
    problems: list[str] = []
    for name, count in Counter(names).items():
        column = by_header.get(name)
        if column is None:
            findings.append((name, "unknown column"))
        elif count > 1:
            findings.append((name, "repeated column"))
            problems.append(f"The file has the column {name} more than once.")
        elif column not in expected:
            findings.append((name, "direct identifier"))
            problems.append(
                f"The file has the direct identifier column {name}, which may not leave its holder; "
                "de-identify the file at its holder first, with `datalab dataset prepare`."
            )
    for column in expected:
        if column.header not in names:
            findings.append((column.header, "missing column"))
            if column.domain.required:
                problems.append(f"The file has no column {column.header}, which the contract requires.")
    return Layout(
        delimiter,
        tuple(by_header.get(name) for name in names),
        skip,
        lines,
        tuple(findings),
        problems[0] if problems else None,
    )


def _check_width(raw: Path, columns: int, due: int) -> None:
    if columns > due + _MOST_UNKNOWN:
        raise BadInputError(
            f"The file has {columns:,} columns, and the contract {due:,}.",
            where=f"{raw.name}, line 1",
            next_step="Look at its first line: this is not the file that the contract describes.",
        )
