"""From a raw file in any of the formats to the flat text that the engine checks: one seam for all of them.

Whatever the file is, what comes out is what ``records.scan`` makes of a CSV file: a clean copy with a row a record, the
records that no reader could take, where each of the rows stands in the file, and the file's digest. Lists and objects
are read by the paths of the contract's columns (``datalab.curation.paths``). The copy need not lie on a disk: ``piped``
hands it to its reader while it is written, on another core.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datalab.curation.columnar import read_parquet
from datalab.curation.contract import Contract, Export
from datalab.curation.documents import Record, elements, lines
from datalab.curation.layout import Layout, read_layout
from datalab.curation.paths import MisplacedError, value_at
from datalab.curation.records import Fault, Records, scan
from datalab.curation.source import Source, open_source
from datalab.errors import BadInputError

_BUNDLE = "entry"
_LOOKED_AT = 1 << 16
_PIECE = 1 << 20
_PAUSE = 0.01


@dataclass(frozen=True)
class Flat:
    """A raw file as flat text.

    Attributes:
        layout: its columns.
        write: writes the clean copy, and says what was found.
        written: whether the copy is there already.
    """

    layout: Layout
    write: Callable[[], Records]
    written: bool = False


def tabulate(contract: Contract, raw: Path, clean: Path, *, prepared: bool) -> Flat:
    """Say what the columns of ``raw`` are, and how its readable records come to ``clean``, as CSV without a header.

    Args:
        contract: says the format, and the path of each column.
        raw: the file as it came; what ``prepare`` writes is CSV, whatever it was made from.
        clean: the file to write.
        prepared: whether ``raw`` is what ``prepare`` writes.

    Raises:
        BadInputError: the file is not in that format, is damaged, or holds a record that is too large; ``write`` raises
            it as well.
    """
    export = contract.export
    if prepared and export.format != "csv":
        _check_prepared(raw)
    if prepared or export.format == "csv":
        layout = read_layout(contract, raw, prepared=prepared)
        return Flat(
            layout,
            lambda: scan(
                raw,
                clean,
                delimiter=layout.delimiter,
                fields=len(layout.fields),
                skip=layout.skip,
                lines_before=layout.lines,
                encoding="utf-8" if prepared else export.encoding,
            ),
        )
    if export.format == "parquet":
        layout, records = read_parquet(contract, raw, clean)
        return Flat(layout, lambda: records, written=True)
    layout = Layout(",", export.columns, skip=0, lines=0)
    return Flat(layout, lambda: _read_documents(export, raw, clean))


@contextmanager
def piped(flat: Flat, clean: Path) -> Generator[Future[Records]]:
    """Write the clean copy into a named pipe, in a thread, while the block reads ``clean`` from its start to its end.

    Whoever opens a pipe waits for the other side, so the copy cannot end before its reader has begun.

    Yields:
        what was found; it is known when the block has read all. An error of the writer is raised by it, and ends the
        copy.
    """
    clean.unlink(missing_ok=True)
    os.mkfifo(clean, mode=0o600)

    def write() -> Records:
        with clean.open("wb"):
            return flat.write()

    with ThreadPoolExecutor(1) as pool:
        records = pool.submit(write)
        try:
            yield records
        except BaseException:
            _drain(clean, records)
            raise


def _drain(pipe: Path, written: Future[Records]) -> None:
    """Read a pipe whose reader has failed, so that its writer comes to an end, even if it has not begun."""
    handle = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while not written.done():
            try:
                idle = not os.read(handle, _PIECE)
            except BlockingIOError:
                idle = True
            if idle:
                time.sleep(_PAUSE)
    finally:
        os.close(handle)


def _check_prepared(raw: Path) -> None:
    """Refuse a holder's own export where only what was de-identified there is taken."""
    with raw.open("rb") as file:
        head = file.read(_LOOKED_AT).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"{", b"[", b"PAR1", b"\x1f\x8b")):
        raise BadInputError(
            "This is the holder's own export, with what may not leave its holder.",
            where=raw.name,
            next_step="Have it de-identified there with `datalab dataset prepare`, and hand in what it writes.",
        )


def nested_records(raw: Path, source: Source, *, layout: str, key: str, resource: str) -> Iterator[Record]:
    """Yield the records of a JSON file.

    Args:
        raw: the file, for what is told of it.
        source: its text.
        layout: ``fhir``, or ``json``.
        key: where the list of records is, if the file is one document; empty if it is the document, or lines.
        resource: the FHIR resource type to take; all others are passed over, unless it is empty.
    """
    head = source.peek(_LOOKED_AT).lstrip(b" \t\r\n")
    if layout == "json":
        yield from elements(source, raw.name, key) if key or head.startswith(b"[") else lines(source, raw.name)
        return
    bundle = _is_bundle(head)
    for record in elements(source, raw.name, _BUNDLE) if bundle else lines(source, raw.name):
        content = record.content
        if bundle and isinstance(content, dict):
            content = content.get("resource")
            if content is None:  # an entry of a bundle may hold a request or a response only
                continue
        if resource and isinstance(content, dict) and content.get("resourceType") != resource:
            continue
        yield Record(record.line, content, record.fault)


def _is_bundle(head: bytes) -> bool:
    """Tell a bundle from NDJSON, where each line is a whole object, by the first line."""
    first = head.split(b"\n", 1)[0].strip()
    pretty = not first.endswith(b"}") or first == b"{"
    return pretty or b'"Bundle"' in first[:500]


def _read_documents(export: Export, raw: Path, clean: Path) -> Records:
    found = Records()
    with open_source(raw) as source, clean.open("w", encoding="utf-8", newline="") as target:
        write = csv.writer(target, lineterminator="\n").writerow
        for record in nested_records(
            raw, source, layout=export.format, key=export.records, resource=export.resource_type
        ):
            found.total += 1
            row, fault, column = _row(export, record)
            if fault:
                found.faults.append(Fault(found.total, record.line, fault, column))
                continue
            write(row)
            found.clean += 1
            shift = (found.total - found.clean, record.line - found.clean)
            if not found.positions or found.positions[-1][1:] != shift:
                found.positions.append((found.clean, *shift))
        found.sha256 = source.sha256
    return found


def _row(export: Export, record: Record) -> tuple[list[str | None], str, str]:
    """Return the texts of a record's columns; or the rule that it breaks, and in which column."""
    if record.fault:
        return [], record.fault, ""
    if not isinstance(record.content, dict):
        return [], "structure", ""
    row: list[str | None] = []
    for column in export.columns:
        try:
            text: Any = value_at(record.content, column.path)
        except MisplacedError:
            return [], "structure", column.header
        if text is not None and (not text.isascii() or "\0" in text) and not _is_text(text):
            return [], "encoding", column.header
        row.append(text)
    return row, "", ""


def _is_text(text: str) -> bool:
    """Tell text from what has NUL, or half a sign that stands for a byte that was not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
