"""Pieces of buffers: compressed where it helps, once for all receivers, and never more than was asked for."""

from __future__ import annotations

import contextlib
import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.wire.pieces import KEPT_BYTES, PieceSender, piece_of
from federation.wire.protocol import CHUNK_BYTES

DULL, NOISE = bytes(3 * CHUNK_BYTES), os.urandom(CHUNK_BYTES)


class Source:
    """A buffer that counts how often it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self.data[offset : offset + length]


def chunk_of(frame: bytes) -> pb.Chunk:
    return pb.ConnectResponse.FromString(frame).chunk


def sender() -> PieceSender:
    return PieceSender(pb.ConnectResponse, keep=True)


def fetch(offset: int = 0, length: int = CHUNK_BYTES, *, zstd: bool = True) -> pb.Fetch:
    return pb.Fetch(run_id="run-1", sha256=b"s" * 32, offset=offset, length=length, zstd=zstd)


def test_what_shrinks_is_sent_compressed_and_arrives_whole() -> None:
    chunk = chunk_of(sender().frame(fetch(CHUNK_BYTES), len(DULL), Source(DULL).read))
    assert chunk.zstd
    assert len(chunk.data) < CHUNK_BYTES // 100
    assert piece_of(chunk) == DULL[CHUNK_BYTES : 2 * CHUNK_BYTES]


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    chunk = chunk_of(sender().frame(fetch(), len(NOISE), Source(NOISE).read))
    assert not chunk.zstd
    assert chunk.data == NOISE


def test_who_does_not_take_compressed_pieces_gets_none() -> None:
    chunk = chunk_of(sender().frame(fetch(zstd=False), len(DULL), Source(DULL).read))
    assert not chunk.zstd
    assert chunk.data == DULL[:CHUNK_BYTES]


def test_many_receivers_cost_one_compression() -> None:
    one, source = sender(), Source(DULL)
    frames = [one.frame(fetch(), len(DULL), source.read) for _ in range(50)]
    assert len({id(frame) for frame in frames}) == 1
    assert source.reads.count((0, CHUNK_BYTES)) == 1


def test_a_greedy_fetch_gets_one_piece() -> None:
    frame = sender().frame(fetch(length=2**31), len(DULL), Source(DULL).read)
    assert len(piece_of(chunk_of(frame))) == CHUNK_BYTES


def test_what_is_kept_for_others_is_bounded() -> None:
    one, source = sender(), Source(NOISE * 64)
    for offset in range(0, len(source.data), CHUNK_BYTES):
        one.frame(fetch(offset, zstd=False), len(source.data), source.read)
    assert sum(map(len, one._kept.values())) <= KEPT_BYTES


def test_a_buffer_that_is_not_there_is_said_to_be_missing() -> None:
    assert chunk_of(sender().frame(fetch(), None, Source(b"").read)).missing


@given(st.binary(max_size=3000), st.integers(0, 4000), st.integers(0, 4000))
def test_any_piece_of_any_buffer_arrives_as_it_is(data: bytes, offset: int, length: int) -> None:
    chunk = chunk_of(sender().frame(fetch(offset, length), len(data), Source(data).read))
    assert piece_of(chunk) == data[offset : offset + length]


def bomb() -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(CHUNK_BYTES + 1))


def unsized() -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100 * CHUNK_BYTES))


def lying() -> bytes:
    """A frame whose header says one byte and which holds a thousand."""
    honest = zstandard.ZstdCompressor().compress(b"x" * 200)
    return honest[:5] + bytes([1]) + honest[6:]


@pytest.mark.parametrize("data", [b"", b"no zstd", bomb(), unsized(), lying(), bomb()[:40], 2 * lying()])
def test_a_frame_that_is_not_one_piece_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="compressed"):
        piece_of(pb.Chunk(data=data, zstd=True))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_piece_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert len(piece_of(pb.Chunk(data=data, zstd=True))) <= CHUNK_BYTES
