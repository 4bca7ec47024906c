"""A first contract for a file that is not CSV: its values laid out flat, one column a path, and looked at as CSV is."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from datalab.curation.contract import Format
from datalab.curation.database import connect, identifier, literal
from datalab.curation.infer import MAX_COLUMNS, ColumnDraft, Inference, infer
from datalab.curation.source import open_source
from datalab.curation.tabulate import nested_records
from datalab.errors import BadInputError

_LOOKED_AT = 100_000
"""Records in which columns are looked for; each is then read in all of them."""
_MOST_VALUES = 2_000_000
_LONGEST = 300
"""Values, and characters of each, that are looked at where a file may have been made to fill the disk."""
MAX_PATH = 400
"""Characters of a path beyond which a value is not looked at; a contract takes 500, quotes and signs included."""
_STEP = re.compile(r'\[0\]|\.?(?:"[^"]*"|[A-Za-z0-9_-]+)')
_NOTHING = re.compile(r"(.*\.)?[0-9A-F]{8}\.vr|7FE0.*|resourceType")
"""Types of DICOM's values, its pixels, and what is the same in all records."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_IDENTIFYING = re.compile(
    r"(identifier|name|telecom|address|photo|contact|text|link)\b.*|"  # of FHIR's Patient, and any narrative
    r"(.*\.)?(display|note\[0\]\.text)|"
    r"(0010(0010|0020|0030|1000|1001|1005|1040|2154|4000)|0008(0050|0080|0081|0090|1010|1048|1050|1070|0018)|"
    r"0020000[DE])\..*"  # DICOM PS3.15, Table E.1-1: names, numbers, dates of birth, institutions, UIDs
)


@dataclass(frozen=True)
class _Kind:
    format: Format
    key: str = ""
    resource: str = ""


def infer_any(
    path: Path, work: Path, *, resource: str | None = None, most: int | None = None, more: Sequence[Path] = ()
) -> Inference:
    """Look at a file of any format that a contract can name, and say what its columns are.

    Args:
        path: CSV (plain or gzip), Parquet, or JSON.
        work: an empty folder to work in.
        resource: of FHIR, the resource type to look at; the most frequent of the first file unless it is given.
        most: records to look at, where it is not CSV, and fewer of many columns; all unless it is given.
        more: other files of the same source, to be looked at together with it.

    Raises:
        BadInputError: it is none of these, or damaged, has no record of the kind, or another format than the first.
    """
    kind = _kind(path, resource, most or _LOOKED_AT)
    for other in more:
        found = _kind(other, kind.resource or resource, most or _LOOKED_AT)
        if found != kind:
            raise BadInputError(
                f"The files are of two formats: {path.name} is {kind.format}, and {other.name} {found.format}.",
                where=other.name,
                next_step="Infer a contract for each.",
            )
    if kind.format == "csv":
        return infer(path, work, more=more)
    flat, limits = [], []
    for number, one in enumerate((path, *more)):
        flat.append(work / f"flat-{number}.csv")
        if kind.format == "parquet":
            limits.append(_lay_out_parquet(one, work, flat[-1], most))
        else:
            limits.append(_lay_out(one, kind, flat[-1], most))
    (work / "found").mkdir()
    seen = infer(flat[0], work / "found", more=flat[1:])
    columns = tuple(_marked(one) for one in seen.columns) if kind.format != "parquet" else seen.columns
    return seen.model_copy(
        update={
            "format": kind.format,
            "whole": all(limit is None or seen.records < limit for limit in limits),
            "records_key": kind.key,
            "resource_type": kind.resource,
            "columns": columns,
        }
    )


def _kind(path: Path, resource: str | None, most: int) -> _Kind:
    """Tell Parquet and JSON by their first signs, and FHIR by the resource types in it."""
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return _Kind("parquet")
    with open_source(path) as source:
        first = source.peek(1 << 16).lstrip(b" \t\r\n")
    if not first.startswith((b"{", b"[")):
        return _Kind("csv")
    if first.startswith(b"[") or b'"resourceType"' not in first:
        return _Kind("json")
    if resource is not None:
        return _Kind("fhir", resource=resource)
    types = Counter(
        str(one.get("resourceType")) for one in islice(_contents(path, _Kind("fhir")), most) if isinstance(one, dict)
    )
    types.pop("None", None)
    if not types:
        raise BadInputError("The file holds no FHIR resource.", where=path.name, next_step="Export it again.")
    return _Kind("fhir", resource=types.most_common(1)[0][0])


def _contents(path: Path, kind: _Kind) -> Iterator[Any]:
    with open_source(path) as source:
        for record in nested_records(path, source, layout=kind.format, key=kind.key, resource=kind.resource):
            if not record.fault:
                yield record.content


def _lay_out(path: Path, kind: _Kind, flat: Path, most: int | None) -> int | None:
    """Write the values of the records, one column a path; return how many records at the most, if not all."""
    seen: Counter[str] = Counter()
    for content in islice(_contents(path, kind), most or _LOOKED_AT):
        seen.update(one for one in _leaves(content) if not _NOTHING.fullmatch(one))
        if len(seen) > MAX_COLUMNS:
            raise BadInputError(
                f"The records have more than {MAX_COLUMNS} values.",
                where=path.name,
                next_step="Write the contract by hand: a column for each value that is of use, with its datalab.path.",
            )
    columns = _agreeing(seen)
    if not columns:
        raise BadInputError(
            f"There is no record with a value{f' of the type {kind.resource}' if kind.resource else ''}.",
            where=path.name,
            next_step="Look at what the file holds.",
        )
    rows = _rows(most, len(columns))
    with flat.open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, lineterminator="\n").writerow
        write(columns)
        for content in islice(_contents(path, kind), rows):
            values = _leaves(content)
            write(_clean(values.get(column))[: None if most is None else _LONGEST] for column in columns)
    return rows


def _rows(most: int | None, columns: int) -> int | None:
    """Return how many rows are looked at, of a table with so many columns."""
    return None if most is None else max(1, min(most, _MOST_VALUES // columns))


def _leaves(content: Any) -> dict[str, str]:
    """Return the plain values of a record by path; of a list, those of its first element."""
    found: dict[str, str] = {}
    rest = [("", content)]
    while rest:
        at, value = rest.pop()
        if isinstance(value, dict):
            if len(at) + max(map(len, value), default=0) > MAX_PATH:  # a long key above many would fill the memory
                value = {key: below for key, below in value.items() if len(at) + len(key) <= MAX_PATH}
            rest += [(f"{at}.{_key(key)}".lstrip("."), below) for key, below in reversed(value.items())]
        elif isinstance(value, list):
            rest += [(f"{at}[0]", below) for below in value[:1] if at]
        elif value is not None and at:
            found[at] = ("true" if value else "false") if isinstance(value, bool) else value
    return found


def _agreeing(seen: Counter[str]) -> list[str]:
    """Leave out the paths on whose way most records have another structure: ``name.family`` for ``name[0].family``."""
    kinds: dict[str, Counter[str]] = {}
    ways = {path: _way(path) for path in seen}
    for path, way in ways.items():
        for at, kind in way:
            kinds.setdefault(at, Counter())[kind] += seen[path]
    return [path for path, way in ways.items() if all(kinds[at].most_common(1)[0][0] == kind for at, kind in way)]


def _way(path: str) -> list[tuple[str, str]]:
    """Return each part of a path from its beginning, and whether a list, an object or a value stands there."""
    steps = _STEP.findall(path)
    ends = ["".join(steps[: index + 1]) for index in range(len(steps))]
    return [(end, following[:1]) for end, following in zip(ends, [*steps[1:], ""], strict=True)]


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else '"' + key.replace('"', "") + '"'


def _clean(text: str | None) -> str:
    return "" if text is None else text.encode(errors="replace").decode().replace("\0", "?")


def _marked(column: ColumnDraft) -> ColumnDraft:
    """Mark what tells who a person is by its place in FHIR's and DICOM's models."""
    if not _IDENTIFYING.fullmatch(column.header):
        return column
    return column.model_copy(update={"identifier": True, "why": "name", "codes": ()})


def _lay_out_parquet(path: Path, work: Path, flat: Path, most: int | None) -> int | None:
    """Write the rows as text; return how many at the most, if not all."""
    import shutil

    import duckdb

    copy = work / "copy.parquet"
    shutil.copyfile(path, copy)
    try:
        with connect(work) as database:
            table = f"read_parquet({literal(str(copy))})"
            names = [
                name
                for (name,) in database.execute(f"SELECT column_name FROM (DESCRIBE SELECT * FROM {table})").fetchall()
            ]
            if len(names) > MAX_COLUMNS:
                raise BadInputError(
                    f"The file has {len(names)} columns; {MAX_COLUMNS} are the most that can be registered.",
                    where=path.name,
                    next_step="Export those that are of use.",
                )
            rows = _rows(most, len(names))
            cut, limit = ("{}", "") if rows is None else (f"left({{}}, {_LONGEST})", f" LIMIT {rows}")
            texts = ", ".join(f"{cut.format(f'{identifier(name)}::VARCHAR')} AS {identifier(name)}" for name in names)
            database.execute(f"COPY (SELECT {texts} FROM {table}{limit}) TO {literal(str(flat))} (FORMAT csv, HEADER)")
    except duckdb.Error as error:
        raise BadInputError(
            f"The file cannot be read as Parquet ({type(error).__name__}).",
            where=path.name,
            next_step="Write it again, and compare its checksum with the sender's.",
        ) from None
    finally:
        copy.unlink(missing_ok=True)
    return rows
