"""Frames between a process that holds a key and its sandboxed one.

They are protobuf messages, each behind its length (4 bytes, big-endian).
"""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path
from typing import IO, TypeVar

from google.protobuf.message import DecodeError, Message

from federation.errors import WireError
from federation.wire.protocol import MAX_FRAME_BYTES

M = TypeVar("M", bound=Message)
_LENGTH = struct.Struct(">I")


def take_standard_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Return where this process reads and writes frames: its stdin and stdout, which foreign code gets others for.

    What the app prints goes to stderr, so that it does not mix with frames.
    """
    requests = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    responses = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return requests, responses


def write_frame(stream: IO[bytes], message: Message) -> None:
    """Write ``message`` as a frame, at once."""
    stream.write(encode_frame(message))
    stream.flush()


def encode_frame(message: Message) -> bytes:
    """Return ``message`` as a frame.

    Raises:
        WireError: it is larger than any frame may be.
    """
    data = message.SerializeToString()
    if len(data) > MAX_FRAME_BYTES:
        raise WireError(f"A frame of {len(data)} bytes is over the limit of {MAX_FRAME_BYTES}.")
    return _LENGTH.pack(len(data)) + data


def read_frame(stream: IO[bytes], kind: type[M]) -> M | None:
    """Read one frame; None at the end of the stream.

    Raises:
        WireError: the frame is oversize, cut off, or not a ``kind``.
    """
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    return _parse(stream.read(_checked_length(head)), head, kind)


async def read_frame_async(stream: asyncio.StreamReader, kind: type[M]) -> M | None:
    """As ``read_frame``, from an asyncio stream."""
    try:
        head = await stream.readexactly(_LENGTH.size)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise WireError("A frame was cut off.") from error
    try:
        return _parse(await stream.readexactly(_checked_length(head)), head, kind)
    except asyncio.IncompleteReadError as error:
        raise WireError("A frame was cut off.") from error


def _checked_length(head: bytes) -> int:
    if len(head) < _LENGTH.size:
        raise WireError("A frame was cut off.")
    length: int = _LENGTH.unpack(head)[0]
    if length > MAX_FRAME_BYTES:
        raise WireError(f"A frame of {length} bytes is over the limit of {MAX_FRAME_BYTES}.")
    return length


def _parse(data: bytes, head: bytes, kind: type[M]) -> M:
    if len(data) < _checked_length(head):
        raise WireError("A frame was cut off.")
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise WireError("A frame is not a valid message.") from error
    return message
