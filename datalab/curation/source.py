"""The text of a raw file as UTF-8 bytes, whatever its encoding, packed or not; and the digest of the file as it lies.

Windows-1252 and Latin-1 are recoded while reading; a byte that the encoding does not know becomes NUL, which no CSV
text may have, so the record that holds it is set apart. A gzip file is unpacked while reading. Its trailer (length and
CRC-32, RFC 1952) is the only thing that tells a whole file from one that was cut off: reading to the end checks it.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, cast, get_args

from datalab.errors import BadInputError

Encoding = Literal["utf-8", "iso-8859-1", "windows-1252"]

_GZIP = b"\x1f\x8b"
_NOT_TEXT = {
    b"PK\x03\x04": "zip (as are .xlsx and .ods)",
    b"PAR1": "Parquet",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\xd0\xcf\x11\xe0": "an older workbook or document",
    b"<?xm": "XML",
    b"<!DO": "HTML or XML",
    b"%PDF": "PDF",
}
_BOM = codecs.BOM_UTF8
_HEAD = 4
_PIECE = 1 << 20
_FREE = 64 * 1024 * 1024
_RATIO = 250
"""Clinical tables pack to a tenth or a fiftieth; beyond this and the first 64 MiB, a file was made to fill the disk."""

codecs.register_error("datalab.nul", lambda error: ("\0", cast("UnicodeDecodeError", error).end))


class Source:
    """An open raw file; see ``open_source``."""

    def __init__(self, file: BinaryIO, raw: Path, encoding: Encoding) -> None:
        self._raw = _Hashing(file)
        self._name = raw.name
        self._unpacked = 0
        head = file.read(_HEAD)
        file.seek(0)
        self._check_kind(head)
        self._packed = head.startswith(_GZIP)
        whole = cast("BinaryIO", self._raw)
        self._stream = cast("BinaryIO", gzip.GzipFile(fileobj=whole, mode="rb")) if self._packed else whole
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("datalab.nul")
        self._encoding = encoding
        self._pending = self._first()

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes of the file's text in UTF-8, or none at its end.

        Raises:
            BadInputError: a gzip file is cut off, does not match its checksum, or unpacks to far more than it is.
        """
        if not self._pending:
            self._pending = self._take(size)
        part, self._pending = self._pending[:size], self._pending[size:]
        return part

    def peek(self, size: int) -> bytes:
        """Return up to ``size`` bytes of what comes next, and leave them to be read."""
        while len(self._pending) < size and (more := self._take(size)):
            self._pending += more
        return self._pending[:size]

    @property
    def sha256(self) -> str:
        """The digest of the file as it lies, up to where it was read."""
        return self._raw.digest.hexdigest()

    def _first(self) -> bytes:
        """Return the first bytes of the text, without a byte-order mark."""
        head = self._unpack(64 * 1024)
        if head.startswith(_BOM):
            if self._decoder is not None:
                raise BadInputError(
                    f"The file is UTF-8, but the contract says {self._encoding}.",
                    where=self._name,
                    next_step="Set datalab.encoding to utf-8, or leave it out.",
                )
            head = head.removeprefix(_BOM) or self._unpack(64 * 1024)
        if self._packed:
            self._check_kind(head)
        return self._recode(head)

    def _take(self, size: int) -> bytes:
        return self._recode(self._unpack(size))

    def _recode(self, data: bytes) -> bytes:
        return data if self._decoder is None else self._decoder.decode(data).encode()

    def _unpack(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            what = "its end is missing" if isinstance(error, EOFError) else "it does not match its own checksum"
            raise _damaged(self._name, what) from None
        if self._packed:
            self._unpacked += len(data)
            if self._unpacked > max(_FREE, _RATIO * self._raw.taken):
                raise BadInputError(
                    f"The gzip file unpacks to more than {_RATIO} times its size, as no table does.",
                    where=self._name,
                    next_step="Look at what it holds before you unpack it anywhere.",
                )
        return data

    def _check_kind(self, head: bytes) -> None:
        for magic, kind in _NOT_TEXT.items():
            if head.startswith(magic):
                raise BadInputError(
                    f"The file is {kind}; only CSV text is taken, plain or as gzip.",
                    where=self._name,
                    next_step="Convert it to CSV first, and compare its checksum with the sender's.",
                )


class _Hashing:
    """A file whose bytes are digested as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        self.taken += len(data)
        return data


def unpack_beginning(path: Path, plain: Path, most: int, *, whole: bool) -> tuple[Path, bool]:
    """Unpack a gzip file, or its beginning, to look at it; a plain file is returned as it is.

    Args:
        path: the file.
        plain: the file to write.
        most: bytes to unpack at the most.
        whole: whether ``path`` is all of the file.

    Returns:
        the plain file, and whether that is the text of all of it.

    Raises:
        BadInputError: what is there is damaged.
    """
    with path.open("rb") as file, plain.open("wb") as target:
        if file.read(len(_GZIP)) != _GZIP:
            return path, whole
        file.seek(0)
        unpack = zlib.decompressobj(wbits=31)
        while target.tell() < most and not unpack.eof and (data := unpack.unconsumed_tail or file.read(1 << 16)):
            try:
                target.write(unpack.decompress(data, most - target.tell()))
            except zlib.error:
                raise _damaged(path.name, "it cannot be unpacked") from None
        return plain, whole and unpack.eof and not unpack.unused_data and not file.read(1)


def _damaged(name: str, what: str) -> BadInputError:
    return BadInputError(
        f"The gzip file is damaged: {what}.",
        where=name,
        next_step="Nothing of it was used. Send it again, and compare its checksum with the sender's.",
    )


def holds(pieces: Iterable[bytes], text: str) -> bool:
    """Return whether a raw file holds a text, in whatever encoding that is taken, packed or not.

    A packed file that is damaged may hold anything.
    """
    wanted = {one.encode(encoding, "ignore") for encoding in get_args(Encoding) for one in _written(text)} - {b""}
    overlap, rest = max(map(len, wanted), default=0), b""
    try:
        for piece in unpacked(pieces):
            window = rest + piece
            if any(one in window for one in wanted):
                return True
            rest = window[-overlap:]
    except zlib.error:
        return True
    return False


def _written(text: str) -> set[str]:
    """Return a text as it may stand in a file: as it is, and with the escapes that writers of JSON use."""
    escaped = json.dumps(text)[1:-1]
    capital = re.sub(r"\\u[0-9a-f]{4}", lambda found: rf"\u{found[0][2:].upper()}", escaped)
    ways = {text, json.dumps(text, ensure_ascii=False)[1:-1], escaped, capital}
    return ways | {one.replace("/", r"\/") for one in ways}


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked where it is gzip; zlib.error where that is damaged or cut off."""
    rest, head = iter(pieces), b""
    while len(head) < len(_GZIP) and (piece := next(rest, b"")):
        head += piece
    unpack, whole = zlib.decompressobj(wbits=31) if head.startswith(_GZIP) else None, True
    for packed in chain([head], rest):
        if unpack is None:
            yield packed
            continue
        left = packed
        while left:
            whole = False
            yield unpack.decompress(left, _PIECE)
            left = unpack.unconsumed_tail
            if unpack.eof:  # another part may follow
                left, unpack, whole = unpack.unused_data, zlib.decompressobj(wbits=31), True
    if not whole:
        raise zlib.error("cut off")


@contextmanager
def open_source(raw: Path, encoding: Encoding = "utf-8") -> Generator[Source]:
    """Open a raw file, plain or gzip, to be read from its start to its end.

    Args:
        raw: the file.
        encoding: of its text, as the contract says.

    Raises:
        BadInputError: it is no text, or not in this encoding.
    """
    with raw.open("rb") as file:
        yield Source(file, raw, encoding)
