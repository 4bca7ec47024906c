"""The records of a JSON file, one after the other, in memory that does not grow with the file.

A file has a record a line (NDJSON), or is one document with the records in a list: the document itself, or what stands
under a key of it (``entry`` of a FHIR bundle). A line that is broken costs itself; a document that is broken cannot be
trusted from there on, and is refused. Numbers stay the texts that they are, so that none is rounded on its way.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from datalab.curation.source import Source
from datalab.errors import BadInputError

MAX_RECORD = 1 << 20
"""Characters of the longest record that is taken, and of any value beside the records."""
MAX_DEPTH = 64
_PIECE = 1 << 18
_BLANK = re.compile(r"[ \t\r\n]*")
# A text that is never closed is taken to its end: to begin anew at each of its quotes would take hours.
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"?|([\[{])|([\]}])', re.DOTALL)


@dataclass(frozen=True)
class Record:
    """A record: the physical line that it starts on, and its content, or the rule that it breaks."""

    line: int
    content: Any
    fault: str = ""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


def lines(source: Source, name: str) -> Iterator[Record]:
    """Yield the record of each line that is not blank.

    Raises:
        BadInputError: a line is longer than a record may be.
    """
    text = _Text(source, name)
    while (line := text.line()) is not None:
        if not line.isspace() and line:
            yield _parse(line, text.number)


def elements(source: Source, name: str, key: str) -> Iterator[Record]:
    """Yield the elements of the document's list; ``key`` says where it is, or is empty if it is the document.

    Raises:
        BadInputError: the document is not valid JSON, has no such list, or has an element that is too large.
    """
    text = _Text(source, name)
    if not key:
        yield from _list(text)
    else:
        text.expect("{", "The document is not an object.")
        found = False
        more = not text.skip("}")
        while more:
            here = text.value()
            text.expect(":", "The document is not valid JSON.")
            if here == key and not found:
                found = True
                yield from _list(text)
            else:
                text.value()
            more = text.skip(",")
            if not more:
                text.expect("}", "The document is not valid JSON.")
        if not found:
            raise text.refuse(f"The document has no list {key}.")
    if not text.ended():
        raise text.refuse("Something follows the end of the document.")


def _list(text: _Text) -> Iterator[Record]:
    text.expect("[", "The records do not stand in a list.")
    if text.skip("]"):
        return
    while True:
        text.blank()
        line = text.number
        part = text.value()
        yield Record(line, part)
        if text.skip("]"):
            return
        text.expect(",", "The document is not valid JSON, or it is cut off.")


def _parse(line: str, number: int) -> Record:
    try:
        _check_depth(line)
        return Record(number, _DECODER.decode(line.strip()))
    except ValueError:  # JSONDecodeError is one
        return Record(number, None, "json")
    except RecursionError:
        return Record(number, None, "nesting")


def _check_depth(text: str) -> None:
    """Raise RecursionError for what is nested deeper than any record; most texts are too short to look."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for found in _NESTING.finditer(text):
        depth += (found[1] is not None) - (found[2] is not None)
        if depth > MAX_DEPTH:
            raise RecursionError


class _Text:
    """The text of a source, a window of it at a time; ``number`` is the physical line of what was taken last."""

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape")  # told where a column reads it
        self._rest = ""
        self._at = 0
        self._whole = False
        self._next = 1
        self.number = 1

    def line(self) -> str | None:
        """Return the next line, or None at the end."""
        while (end := self._rest.find("\n", self._at)) < 0 and not self._whole:
            if len(self._rest) - self._at > MAX_RECORD:
                raise self.refuse("A record is longer than a record may be, 1 MiB.")
            self._read()
        if end < 0 and self._at >= len(self._rest):
            return None
        end = len(self._rest) if end < 0 else end
        if end - self._at > MAX_RECORD:
            raise self.refuse("A record is longer than a record may be, 1 MiB.")
        found = self._rest[self._at : end]
        self._at = end + 1
        self.number, self._next = self._next, self._next + 1
        return found

    def blank(self) -> None:
        """Go on to what is not blank."""
        while True:
            found = _BLANK.match(self._rest, self._at)
            end = found.end() if found is not None else self._at
            self._move(end)
            if end < len(self._rest) or self._whole:
                return
            self._read()

    def skip(self, sign: str) -> bool:
        """Take a sign if it comes next."""
        self.blank()
        if self._rest.startswith(sign, self._at):
            self._at += 1
            return True
        return False

    def expect(self, sign: str, otherwise: str) -> None:
        """Take the sign that must come next."""
        if not self.skip(sign):
            raise self.refuse(otherwise)

    def ended(self) -> bool:
        """Return whether nothing but blanks is left."""
        self.blank()
        return self._at >= len(self._rest)

    def value(self) -> Any:
        """Take the value that comes next."""
        self.blank()
        tried = 0
        while True:
            there = len(self._rest) - self._at
            if there >= 2 * tried or self._whole:  # so that a long value is not tried at each piece
                tried = there
                try:
                    found, end = _DECODER.raw_decode(self._rest, self._at)
                except ValueError:
                    end = -1
                except RecursionError:
                    raise self.refuse("The document is nested deeper than any record is.") from None
                if end >= 0 and (end < len(self._rest) or self._whole):  # a number may go on in the next piece
                    if end - self._at > MAX_RECORD:
                        raise self.refuse("A record is longer than a record may be, 1 MiB.")
                    try:
                        _check_depth(self._rest[self._at : end])
                    except RecursionError:
                        raise self.refuse("The document is nested deeper than any record is.") from None
                    self._move(end)
                    return found
            if self._whole:
                raise self.refuse("The document is not valid JSON, or it is cut off.")
            if there > 2 * MAX_RECORD:
                raise self.refuse("A record is not valid JSON, or longer than a record may be, 1 MiB.")
            self._read()

    def refuse(self, what: str) -> BadInputError:
        """Return the error that says where the reading stands."""
        return BadInputError(
            what,
            where=f"{self._name}, line {self.number}",
            next_step="No row was used. Export the file again, or correct it there.",
        )

    def _move(self, end: int) -> None:
        self.number += self._rest.count("\n", self._at, end)
        self._at = end

    def _read(self) -> None:
        data = self._source.read(_PIECE)
        self._whole = not data
        self._rest = self._rest[self._at :] + self._decode.decode(data, final=not data)
        self._at = 0
