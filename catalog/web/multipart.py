"""The one file of a form, as a browser without JavaScript sends it (RFC 7578), read as it comes in.

A form of one field has one shape, so how long the file is follows from the length of the request: what stands before
the file is known once its head is read, and what stands after it is the boundary. Nothing is looked for in the file.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request

from datalab.errors import BadInputError

_BOUNDARY = re.compile(r"multipart/form-data; ?boundary=(?:\"?)([A-Za-z0-9'()+_,./:=?-]{1,70})(?:\"?)")
_HEAD = re.compile(
    rb'Content-Disposition: form-data; name="file"; filename="([^"\r\n]{0,1000})"\r\n'
    rb"(?:Content-Type: [^\r\n]{0,200}\r\n)?\r\n"
)
_LONGEST_HEAD = 2048
MOST_AROUND = 4096
"""Bytes of such a form beside its file."""


@dataclass(frozen=True)
class FileForm:
    """The file of a form.

    Attributes:
        name: as the browser says it.
        size: in bytes.
        content: yields it as it comes in; BadInputError at its end if the form does not end there.
    """

    name: str
    size: int
    content: AsyncIterator[bytes]


async def file_form(request: Request) -> FileForm:
    """Read the head of a form whose one field is ``file``.

    Raises:
        BadInputError: the request is no such form.
    """
    kind = _BOUNDARY.fullmatch(request.headers.get("Content-Type", ""))
    length = request.headers.get("Content-Length", "")
    if kind is None or not (length.isdecimal() and len(length) < 16):
        raise _no_form()
    first, last = f"--{kind[1]}\r\n".encode(), f"\r\n--{kind[1]}--\r\n".encode()
    stream, head = request.stream(), b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD:
        if not (piece := await anext(stream, b"")):
            break
        head += piece
    found = _HEAD.match(head, len(first))
    size = int(length) - (found.end() if found else 0) - len(last)
    if not head.startswith(first) or found is None or size < 0:
        raise _no_form()
    name = re.sub(rb"%(22|0D|0A)", b"_", found[1]).decode(errors="replace")
    return FileForm(name, size, _content(head[found.end() :], stream, size, last))


async def _content(begun: bytes, stream: AsyncIterator[bytes], size: int, last: bytes) -> AsyncIterator[bytes]:
    rest, left = begun, size
    while left:
        if not rest and not (rest := await anext(stream, b"")):
            raise _no_form()
        yield rest[:left]
        left, rest = left - len(rest[:left]), rest[left:]
    async for piece in stream:
        rest += piece
    if rest != last:
        raise _no_form()


async def pieces_of(content: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Cut what comes in into pieces of ``size`` bytes; the last one is what is left."""
    piece = bytearray()
    async for part in content:
        piece += part
        while len(piece) >= size:
            yield bytes(piece[:size])
            del piece[:size]
    if piece:
        yield bytes(piece)


async def drain(content: AsyncIterator[bytes], most: int) -> None:
    """Read on for ``most`` bytes, or to the end, however that is."""
    try:
        async for piece in content:
            most -= len(piece)
            if most < 0:
                return
    except BadInputError:
        return


def _no_form() -> BadInputError:
    return BadInputError("The request carries no form with one file.", next_step="Send the form from its page.")
