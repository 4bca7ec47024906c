"""Frames that carry a piece of a buffer, serialized with one copy of the piece instead of four."""

from __future__ import annotations

from google.protobuf.message import Message

from federation.pb import federation_pb2 as pb

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
