"""Whether a raw file names a person: by the values of its fields where its contract is known, else by any text."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import error as PackingError  # noqa: N812 - it is an error, written small

import yaml

from datalab.curation.contract import Contract, load_contract
from datalab.curation.database import connect, identifier, literal
from datalab.curation.source import holds, unpacked
from datalab.errors import DatalabError

SUFFIX = ".odcs.yaml"
_PARQUET = b"PAR1"
_NUMBERS = ("TINY", "SMALL", "INT", "BIG", "HUGE", "U", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")
_LONGEST = 16 << 20
"""Characters of a line; no record of a table has more."""


def names(read: Callable[[], Iterable[bytes]], pseudonym: str, contract: Contract | None) -> bool:
    """Return whether a raw file names a person.

    With a contract for CSV that takes the pseudonym from a column as it is, that column's values are compared as a
    whole, and free text by words; a record that is not as the contract says is searched for the text anywhere. So
    ``12`` is not found in the age 112. Without one, in other formats, or in a file that is damaged, the text anywhere
    counts: better to find too much. Parquet packs its values, and is read.

    Args:
        read: yields the file's pieces from its start; called three times at the most.
        pseudonym: of the person.
        contract: of the file, where it is known.
    """
    if _is_parquet(read()):
        return _in_parquet(read(), pseudonym)
    if not holds(read(), pseudonym):
        return False
    column = None if contract is None or contract.export.format != "csv" else _column(contract)
    if contract is None or column is None:
        return True
    try:
        return _in_records(_records(read(), contract), pseudonym, contract, column)
    except (csv.Error, UnicodeDecodeError, PackingError):
        return True


def _is_parquet(pieces: Iterable[bytes]) -> bool:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= len(_PARQUET):
            break
    return head.startswith(_PARQUET)


def _in_parquet(pieces: Iterable[bytes], pseudonym: str) -> bool:
    """Look into a Parquet file, in a process of its own."""
    from datalab.curation.looking import names_person

    with TemporaryDirectory(prefix="datalab-") as folder:
        path = Path(folder) / "raw.parquet"
        with path.open("wb") as file:
            file.writelines(pieces)
        return names_person(path, pseudonym)


def in_parquet(path: Path, pseudonym: str) -> bool:
    """Look for a text in the texts of a Parquet file, or a value written like it.

    Args:
        path: of the file, in a folder of its own.
        pseudonym: of the person.

    Raises:
        duckdb.Error: it is damaged.
        DatalabError: it needs too much memory.
    """
    table = f"read_parquet({literal(str(path))})"
    with connect(path.parent) as database:
        found = database.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {table})").fetchall()
        tests = [
            f"{identifier(column)}::VARCHAR = $1"
            if kind.startswith(_NUMBERS) and not kind.endswith("]")
            else f"contains({identifier(column)}::VARCHAR, $1)"
            for column, kind in found
        ]
        where = " OR ".join(tests) or "false"
        return bool(database.execute(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1", [pseudonym]).fetchall())


def own_contract(folder: Path, contract_id: str, version: str) -> Contract | None:
    """Return a contract by its id and version, or None where none can be read as it.

    It is looked for in a folder, and in ``used`` below, where the lab keeps what it has curated by: so those that come
    with Datalab are found too.
    """
    for path in (*sorted(folder.glob(f"*{SUFFIX}")), *sorted(folder.glob(f"used/*{SUFFIX}"))):
        try:
            data = yaml.safe_load(path.read_bytes())
            if (str(data["id"]), str(data["version"])) == (contract_id, version):
                return load_contract(path)
        except (yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError, DatalabError):
            continue
    return None


def _column(contract: Contract) -> int | None:
    """Return which column of the file is the pseudonym, as it is; None where it is computed, or there is none."""
    for one in contract.harmonised.columns:
        if one.name == contract.harmonised.pseudonym:
            for at, column in enumerate(contract.export.columns):
                if one.expression.sql in {f"({column.name})", f"({identifier(column.name)})"}:
                    return at
    return None


def _records(pieces: Iterable[bytes], contract: Contract) -> Iterator[list[str]]:
    decoder = codecs.getincrementaldecoder("utf-8-sig" if contract.export.encoding == "utf-8" else "cp1252")()

    def lines() -> Iterator[str]:
        rest = ""
        for piece in unpacked(pieces):
            whole = (rest + decoder.decode(piece)).splitlines(keepends=True)
            rest = whole.pop() if whole else ""
            if len(rest) > _LONGEST:
                raise csv.Error("a line without an end")
            yield from whole
        yield rest + decoder.decode(b"", final=True)

    return csv.reader(lines(), delimiter=contract.export.delimiter)


def _in_records(records: Iterator[list[str]], pseudonym: str, contract: Contract, column: int) -> bool:
    columns = contract.export.columns
    order = [one.header for one in columns]
    if contract.export.header:
        order = [one.strip() for one in next(records, [])]
        if columns[column].header not in order:
            return True
    person = order.index(columns[column].header)
    told = {one.header for one in columns if one.domain.type != "string" or one.domain.codes}
    free = [at for at, name in enumerate(order) if name not in told and at != person]
    word = re.compile(rf"(?<!\w){re.escape(pseudonym)}(?!\w)")
    for record in records:
        if len(record) != len(order):
            if any(pseudonym in one for one in record):
                return True
        elif _same(record[person].strip(), pseudonym, columns[column].domain.type) or any(
            word.search(record[at]) for at in free
        ):
            return True
    return False


def _same(written: str, pseudonym: str, kind: str) -> bool:
    """Whether a value is a person's pseudonym; a number may be written in other ways than it is told."""
    if written == pseudonym or kind == "string":
        return written == pseudonym
    try:
        return Decimal(written) == Decimal(pseudonym)
    except InvalidOperation:
        return False
