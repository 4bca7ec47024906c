from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from catalog.web.multipart import FileForm, drain, file_form, pieces_of
from datalab.errors import BadInputError


def form(name: str, content: bytes) -> tuple[str, bytes]:
    """Return the content type and the body of a form as another implementation writes it."""
    sent = httpx.Request("POST", "http://lab/", files={"file": (name, content, "text/csv")})
    sent.read()
    return sent.headers["Content-Type"], sent.content


def request(kind: str, body: bytes, *, size: int = 1 << 16, length: int | None = None) -> Request:
    """A request whose body comes in pieces of ``size`` bytes."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    async def receive() -> Message:
        piece = pieces.pop(0) if pieces else b""
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    headers = {"Content-Type": kind, "Content-Length": str(len(body) if length is None else length)}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


async def read(asked: Request, piece: int) -> tuple[FileForm, list[bytes]]:
    found = await file_form(asked)
    return found, [one async for one in pieces_of(found.content, piece)]


@given(content=st.binary(max_size=300), size=st.integers(1, 400), piece=st.integers(1, 100))
def test_whatever_the_file_and_however_it_comes_in_it_is_cut_into_its_pieces(
    content: bytes, size: int, piece: int
) -> None:
    found, pieces = asyncio.run(read(request(*form("a table.csv", content), size=size), piece))
    assert (found.name, found.size, b"".join(pieces)) == ("a table.csv", len(content), content)
    assert all(len(one) == piece for one in pieces[:-1])


def test_a_boundary_in_the_file_ends_nothing() -> None:
    kind, _ = form("a.csv", b"")
    boundary = kind.partition("boundary=")[2].encode()
    content = b"a\r\n--" + boundary + b"--\r\n--" + boundary + b"\r\nb"
    body = form("a.csv", b"#")[1]
    body = body.replace(re.findall(rb"--([0-9a-f]+)--", body)[0], boundary).replace(b"\r\n\r\n#", b"\r\n\r\n" + content)
    _, pieces = asyncio.run(read(request(kind, body), 1 << 20))
    assert pieces == [content]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'name="file"', b'name="other"'),
        (b"filename", b"filename*"),
        (b"Content-Type: text/csv", b"X: y"),
        (b"--\r\n", b"--\r\nmore"),
        (b"\r\n\r\n", b"\r\n"),
        (b"form-data", b"form-data; " + b"x" * 5000),
    ],
)
def test_what_is_no_form_with_one_file_is_refused(before: bytes, after: bytes) -> None:
    kind, body = form("a.csv", b"a,b\n1,2\n")
    assert before in body
    with pytest.raises(BadInputError, match="no form with one file"):
        asyncio.run(read(request(kind, body.replace(before, after)), 100))


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_is_no_form_at_all_is_refused(kind: str) -> None:
    with pytest.raises(BadInputError, match="no form with one file"):
        asyncio.run(read(request(kind, form("a.csv", b"a")[1]), 100))


@pytest.mark.parametrize("by", [-3, 1, 1000])
def test_a_length_that_is_not_the_forms_is_noticed(by: int) -> None:
    kind, body = form("a.csv", b"a,b\n1,2\n")
    with pytest.raises(BadInputError, match="no form with one file"):
        asyncio.run(read(request(kind, body, length=len(body) + by), 100))


def test_draining_ends_at_its_bound_and_at_a_wrong_end() -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(5):
            taken.append(1)
            yield b"x" * 10
        raise BadInputError("no form")

    taken: list[int] = []
    asyncio.run(drain(content(), 25))
    assert len(taken) == 3
    asyncio.run(drain(content(), 1000))
    assert len(taken) == 8
