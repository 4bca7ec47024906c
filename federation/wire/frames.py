"""Frames as they are sent: a piece of a buffer is copied once, small ones go together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from federation.pb import federation_pb2 as pb

PACKED_BYTES = 64 << 10
"""Frames that are sent together, at most."""
Later = Callable[[], bytes]
"""Makes a serialized frame when its turn has come."""
_DATA = pb.Chunk.DESCRIPTOR.fields_by_name["data"].number


def serialize(frame: Message | bytes) -> bytes:
    """Return a frame as it goes over the wire."""
    return frame if isinstance(frame, bytes) else frame.SerializeToString()


def chunk_frame(kind: type[Message], head: pb.Chunk, data: bytes | memoryview) -> bytes:
    """Return a serialized frame of ``kind`` with a chunk of ``data``; ``head`` is that chunk without its data."""
    fields = head.SerializeToString()
    prefix = _prefix(_DATA, len(data))
    number = kind.DESCRIPTOR.fields_by_name["chunk"].number
    return b"".join((_prefix(number, len(fields) + len(prefix) + len(data)), fields, prefix, data))


def packed(frames: Iterable[Message | Later]) -> list[Any]:
    """Return ``frames`` in their order, with small ones joined to the one before them (its ``more``).

    A message of gRPC costs about as much as two kilobytes in it; where hundreds of nodes answer at once, it adds up.
    """
    out: list[Message | Later] = []
    room = 0
    for frame in frames:
        size = frame.ByteSize() if isinstance(frame, Message) else 0
        if 0 < size <= room:  # there was a message before it
            out[-1].more.append(frame)  # type: ignore[union-attr]  # there is room in messages only
            room -= size
        else:
            out.append(frame)
            room = PACKED_BYTES - size if size else 0
    return out


def _prefix(number: int, length: int) -> bytes:
    """Return what precedes a field of ``length`` bytes (protobuf's wire type 2)."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
