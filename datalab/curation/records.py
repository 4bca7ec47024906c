"""Finding the records in the bytes of a CSV file (RFC 4180), independently of the reader that later parses them.

One pass over the raw file counts its records, notes the physical line that each starts on, digests the file, and sets
apart the records that no reader could take: a wrong number of fields, a stray or unclosed quote, a lone carriage
return, bytes that the encoding does not know. All others go to a clean copy (UTF-8, LF, no header) that DuckDB then
reads strictly. A stray quote costs its own line only: the search goes on at the next one, where a reader would swallow
rows up to the next quote.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from datalab.curation.source import Encoding, Source, open_source
from datalab.errors import BadInputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

WINDOW = 256 * 1024
"""Bytes looked at together, and the longest record that is taken."""

_AFTER_STRAY = 4096
"""Bytes looked at after a stray quote: few, as where there is one there are often many."""


@dataclass(frozen=True)
class Fault:
    """A record that cannot be read, and why (``field count``, ``quote``, ``line end`` or ``encoding``).

    In a nested format it is ``json``, ``nesting``, ``structure`` or ``encoding``; the last two in a column.
    """

    record: int
    line: int
    rule: str
    column: str = ""


@dataclass
class Records:
    """What the pass found.

    Attributes:
        total: records in the file, without the header and without blank lines.
        clean: records in the clean copy.
        faults: the records that are not in it.
        positions: for the clean copy's rows, from which row on (counted from 1) which number is to be added to get the
            record and the line: triples (row, records to add, lines to add), one wherever these change.
        sha256: digest of the raw file.
    """

    total: int = 0
    clean: int = 0
    faults: list[Fault] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    sha256: str = ""


def read_header(raw: Path, delimiter: str, encoding: Encoding = "utf-8") -> tuple[list[str], int, int]:
    """Return the fields of the first record, its length in bytes of UTF-8, and the physical lines it takes.

    Raises:
        BadInputError: the file is not text, or its first record has no end.
    """
    with open_source(raw, encoding) as source:
        head = _read(source)
    text = head.decode(errors="replace")
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        names = next(reader, [])
    except csv.Error:
        names = ["\ufffd"]
    length = len("".join(lines[: reader.line_num]).encode())
    if {"\ufffd", "\0"} & set("".join(names)) or (length >= WINDOW and len(head) == WINDOW):
        raise BadInputError(
            f"The first record does not name columns in {encoding.upper()}.",
            where=f"{raw.name}, line 1",
            next_step="Set the contract's datalab.encoding to that of the file, or export it as UTF-8 text, with the "
            "column names in the first line.",
        )
    return [name.strip() for name in names], length, reader.line_num


def scan(
    raw: Path,
    clean: Path,
    *,
    delimiter: str,
    fields: int,
    skip: int = 0,
    lines_before: int = 0,
    encoding: Encoding = "utf-8",
) -> Records:
    """Write the readable records of ``raw`` to ``clean`` and say where all of them are.

    Args:
        raw: a CSV file, plain or gzip.
        clean: the copy to write.
        delimiter: one ASCII character.
        fields: how many fields a record has.
        skip: bytes of UTF-8 of the header record, and
        lines_before: the physical lines it takes.
        encoding: of the raw file.

    Raises:
        BadInputError: the file is not text, its gzip is cut off or damaged, or it has a record longer than 256 KiB.
    """
    found = Records()
    pass_ = _Pass(found, ord(delimiter), fields, lines_before + 1)
    with open_source(raw, encoding) as source, clean.open("wb") as target:
        rest = _read(source, skip + WINDOW)[skip:]
        while True:
            chunk = source.read(WINDOW)
            rest = pass_.take(rest, target, last=not chunk)
            if not chunk:
                break
            if len(rest) >= WINDOW:
                raise BadInputError(
                    "A record is longer than 256 KiB, so this is not the CSV file that the contract describes.",
                    where=f"{raw.name}, line {pass_.line}",
                    next_step="Look at that line: most often a quote is not closed, or line ends are missing.",
                )
            rest += chunk
        found.sha256 = source.sha256
    return found


def _read(source: Source, size: int = WINDOW) -> bytes:
    """Read ``size`` bytes, or all that there are."""
    parts = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class _Pass:
    """The state of the pass between two windows: the next physical line and the open end of the positions."""

    def __init__(self, found: Records, delimiter: int, fields: int, line: int) -> None:
        self.found = found
        self.delimiter = delimiter
        self.fields = fields
        self.line = line

    def take(self, data: bytes, target: BinaryIO, *, last: bool) -> bytes:
        """Take all complete records of ``data``; return what is left of it for the next window."""
        size = len(data)
        while data:
            whole = size >= len(data)
            window = _Window(data[:size], self.delimiter, last=last and whole)
            self._keep(window, target)
            data = data[window.complete :]
            unclosed = not window.complete and whole and len(data) >= WINDOW
            if data and (window.stray or unclosed):
                end = data.find(b"\n") + 1
                if not end and not last:
                    return data
                self.found.total += 1
                self.found.faults.append(Fault(self.found.total, self.line, "quote"))
                self.line += 1
                data = data[end or len(data) :]
                size = _AFTER_STRAY
            elif whole:
                return data
            else:
                size *= 2
        return data

    def _keep(self, window: _Window, target: BinaryIO) -> None:
        """Write the good records of a window, note the bad, and the positions of both."""
        import numpy as np

        starts = window.starts
        if not len(starts):
            return
        lines = self.line + window.lines
        real = ~window.blank
        records = self.found.total + np.cumsum(real)
        rules = window.faults(self.fields)
        good = real.copy()
        for rule, broken in rules.items():
            for index in np.flatnonzero(broken & good):
                self.found.faults.append(Fault(int(records[index]), int(lines[index]), rule))
            good &= ~broken
        rows = self.found.clean + np.cumsum(good)
        self._note_positions(rows[good], records[good], lines[good])
        kept = window.data[: window.complete]
        if not good.all():
            keep = np.repeat(good, np.diff(np.append(starts, window.complete)))
            kept = window.bytes[: window.complete][keep].tobytes()
        if kept:
            target.write(kept.replace(b"\r\n", b"\n") if b"\r" in kept else kept)
            if not kept.endswith(b"\n"):
                target.write(b"\n")
        self.found.total = int(records[-1])
        self.found.clean = int(rows[-1])
        self.line += int(np.searchsorted(window.newlines, window.complete))

    def _note_positions(self, rows: Ints, records: Ints, lines: Ints) -> None:
        import numpy as np

        if not len(rows):
            return
        by_record, by_line = records - rows, lines - rows
        changed = (by_record[1:] != by_record[:-1]) | (by_line[1:] != by_line[:-1])
        for index in (0, *(np.flatnonzero(changed) + 1)):
            entry = (int(rows[index]), int(by_record[index]), int(by_line[index]))
            if not self.found.positions or self.found.positions[-1][1:] != entry[1:]:
                self.found.positions.append(entry)


class _Window:
    """Bytes that start at a record, and the records that are complete in them.

    Attributes:
        starts: where the complete records start.
        lines: how many lines come before each of them.
        ends: where they end, at their line feed.
        complete: bytes up to the end of the last of them.
        stray: whether the record that follows has a quote where none may be, or one that is never closed.
        blank: which of them are empty lines.
    """

    def __init__(self, data: bytes, delimiter: int, *, last: bool) -> None:
        import numpy as np

        self.data = data
        self.bytes = np.frombuffer(data, dtype=np.uint8)
        self.newlines: Ints = np.flatnonzero(self.bytes == ord("\n"))
        self._delimiter = delimiter
        quoted = b'"' in data
        self._quotes: Ints = np.flatnonzero(self.bytes == ord('"')) if quoted else np.empty(0, dtype=np.int64)
        ending = np.flatnonzero(self._outside(self.newlines))
        ends = self.newlines[ending]
        if last and not data.endswith(b"\n") and len(self._quotes) % 2 == 0:
            ends = np.append(ends, len(data))
        stray = self._first_stray()
        self.stray = stray is not None
        if stray is not None:
            ends = ends[ends < stray]
        elif last and len(self._quotes) % 2:
            self.stray = True
        self.ends: Ints = ends
        self.starts: Ints = np.append(0, ends[:-1] + 1) if len(ends) else ends
        self.lines: Ints = np.append(0, ending[: len(ends) - 1] + 1) if len(ends) else ends
        self.complete = min(int(ends[-1]) + 1, len(data)) if len(ends) else 0
        length = self.ends - self.starts
        returns = self.bytes[np.minimum(self.starts, max(len(data) - 1, 0))] == ord("\r")
        self.blank: Bools = (length == 0) | ((length == 1) & returns)

    def faults(self, fields: int) -> dict[str, Bools]:
        """Return which complete records cannot be read, by rule."""
        import numpy as np

        delimiters = np.flatnonzero(self.bytes[: self.complete] == self._delimiter)
        found = {"field count": self._miscounted(delimiters[self._outside(delimiters)], fields - 1)}
        if b"\r" in self.data:
            returns = np.flatnonzero(self.bytes == ord("\r"))
            after = np.append(self.bytes, ord("\n"))[returns + 1]
            found["line end"] = self._count(returns[(after != ord("\n")) & self._outside(returns)]) > 0
        found["encoding"] = np.zeros(len(self.ends), dtype=bool)
        if b"\0" in self.data:
            found["encoding"] |= self._count(np.flatnonzero(self.bytes == 0)) > 0
        try:
            self.data[: self.complete].decode()
        except UnicodeDecodeError:
            found["encoding"] |= np.array([not self._is_text(index) for index in range(len(self.ends))])
        return found

    def _is_text(self, index: int) -> bool:
        try:
            self.data[self.starts[index] : self.ends[index]].decode()
        except UnicodeDecodeError:
            return False
        return True

    def _miscounted(self, delimiters: Ints, due: int) -> Bools:
        """Tell which records do not have as many delimiters as are due; most windows have no such record."""
        import numpy as np

        if due and len(delimiters) == due * len(self.ends):
            by_record = delimiters.reshape(-1, due)
            if (by_record[:, 0] >= self.starts).all() and (by_record[:, -1] < self.ends).all():
                return np.zeros(len(self.ends), dtype=bool)
        miscounted: Bools = self._count(delimiters) != due
        return miscounted

    def _count(self, places: Ints) -> Ints:
        """Count how many of these (sorted) places lie in each record."""
        import numpy as np

        counts: Ints = np.searchsorted(places, self.ends) - np.searchsorted(places, self.starts)
        return counts

    def _outside(self, places: Ints) -> Bools:
        """Tell which of these (sorted) places are outside quotes: an even number of quotes stands before them."""
        import numpy as np

        outside = np.ones(len(places), dtype=bool)
        if not len(self._quotes):
            return outside
        # Few places are quoted: they are set one by one, instead of counting the quotes before each of all places.
        bounds = np.searchsorted(places, self._quotes)
        if len(bounds) % 2:
            bounds = np.append(bounds, len(places))
        first, count = bounds[::2], bounds[1::2] - bounds[::2]
        before = np.cumsum(count) - count
        outside[np.repeat(first - before, count) + np.arange(int(count.sum()))] = False
        return outside

    def _first_stray(self) -> int | None:
        """Return the first quote that neither opens nor closes a field nor stands for itself (``""``)."""
        import numpy as np

        quotes = self._quotes
        if not len(quotes):
            return None
        end = len(self.bytes) - 1
        before = np.where(quotes > 0, self.bytes[quotes - 1], ord("\n"))
        after = np.where(quotes < end, self.bytes[np.minimum(quotes + 1, end)], ord("\n"))
        opens = np.arange(len(quotes)) % 2 == 0
        previous = np.append(-2, quotes[:-1])
        opening = (before == self._delimiter) | (before == ord("\n")) | (quotes == previous + 1)
        closing = (after == self._delimiter) | (after == ord("\n")) | (after == ord("\r")) | (after == ord('"'))
        wrong = np.flatnonzero(~np.where(opens, opening, closing))
        return int(quotes[wrong[0]]) if len(wrong) else None
