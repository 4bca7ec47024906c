"""Frames as they are sent: a piece of a buffer is copied once, small ones go together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf.message import Message

from federation.pb import federation_pb2 as pb

PACKED_BYTES = 64 << 10
"""Frames that are sent together, at most."""
Later = Callable[[], bytes]
"""Makes a serialized frame when its turn has come."""
_DATA = pb.Chunk.DESCRIPTOR.fields_by_name["data"].number
_MORE = pb.ConductRequest.DESCRIPTOR.fields_by_name["more"].number
_numbers: dict[tuple[type[Message], str], int] = {}
assert pb.ConductResponse.DESCRIPTOR.fields_by_name["more"].number == _MORE


def serialize(frame: Message | bytes) -> bytes:
    """Return a frame as it goes over the wire."""
    return frame if isinstance(frame, bytes) else frame.SerializeToString()


def frame_of(kind: type[Message], field: str, message: Message) -> bytes:
    """Return a serialized frame of ``kind`` whose ``field`` is ``message``, which is not copied into it first."""
    data = message.SerializeToString()
    return b"".join((_prefix(_number(kind, field), len(data)), data))


def chunk_frame(kind: type[Message], head: pb.Chunk, data: bytes | memoryview) -> bytes:
    """Return a serialized frame of ``kind`` with a chunk of ``data``; ``head`` is that chunk without its data."""
    fields = head.SerializeToString()
    prefix = _prefix(_DATA, len(data))
    length = len(fields) + len(prefix) + len(data)
    return b"".join((_prefix(_number(kind, "chunk"), length), fields, prefix, data))


def packed(frames: Iterable[Message | bytes | Later]) -> list[bytes | Later]:
    """Return ``frames`` in their order, serialized, with small ones joined to the one before them (its ``more``).

    A message of gRPC costs about as much as two kilobytes in it; where hundreds of nodes answer at once, it adds up.
    """
    out: list[bytes | Later] = []
    together: list[bytes] = []
    room = 0

    def close() -> None:
        if together:
            out.append(b"".join(together))
            together.clear()

    for frame in frames:
        data = None if callable(frame) else serialize(frame)
        if data is not None and together and len(data) <= room:
            together += (_prefix(_MORE, len(data)), data)
            room -= len(data)
            continue
        close()
        if data is None:
            out.append(frame)  # type: ignore[arg-type]  # it is callable
        else:
            together.append(data)
            room = PACKED_BYTES - len(data)
    close()
    return out


def _number(kind: type[Message], field: str) -> int:
    """Return the number of a field; remembered, as looking it up takes longer than all else that is done here."""
    known = _numbers.get((kind, field))
    if known is None:
        known = _numbers[kind, field] = kind.DESCRIPTOR.fields_by_name[field].number
    return known


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
