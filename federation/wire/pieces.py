"""Pieces of buffers as chunks: read when they are sent, and compressed with zstd where that is taken and helps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import zstandard

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.wire.protocol import CHUNK_BYTES

Read = Callable[[int, int], bytes]
"""Returns up to ``length`` bytes at ``offset`` of a buffer."""

LEVEL = 1
SAMPLE_BYTES = 64 << 10
WORTH = 0.9
"""A buffer is sent compressed if its sample shrinks to this share or less."""
CACHE_BYTES = 16 << 20
"""Compressed pieces that are kept for the next receiver of the same buffer."""
_REMEMBERED = 1_000


class PieceSender:
    """Makes the chunks that one process sends for one run; what many nodes fetch at once is compressed once."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._worth: OrderedDict[bytes, bool] = OrderedDict()
        self._kept: OrderedDict[tuple[bytes, int, int], bytes] = OrderedDict()
        self._kept_bytes = 0

    def chunk(self, fetch: pb.Fetch, size: int | None, read: Read) -> pb.Chunk:
        """Return the answer to ``fetch``.

        Args:
            fetch: what was asked for; at most ``CHUNK_BYTES`` of it are sent.
            size: of the whole buffer in bytes, or None where it is not to be had.
            read: reads it.
        """
        if size is None:
            return pb.Chunk(run_id=fetch.run_id, sha256=fetch.sha256, offset=fetch.offset, missing=True)
        chunk = pb.Chunk(run_id=fetch.run_id, sha256=fetch.sha256, offset=fetch.offset, size=size)
        length = min(fetch.length, CHUNK_BYTES)
        if fetch.zstd and self._pays(fetch.sha256, read):
            chunk.data, chunk.zstd = self._compressed(fetch.sha256, fetch.offset, length, read), True
        else:
            chunk.data = read(fetch.offset, length)
        return chunk

    def _pays(self, sha256: bytes, read: Read) -> bool:
        if sha256 not in self._worth:
            sample = read(0, SAMPLE_BYTES)
            self._worth[sha256] = len(self._compressor.compress(sample)) <= WORTH * len(sample)
            if len(self._worth) > _REMEMBERED:
                self._worth.popitem(last=False)
        return self._worth[sha256]

    def _compressed(self, sha256: bytes, offset: int, length: int, read: Read) -> bytes:
        key = sha256, offset, length
        if key not in self._kept:
            piece = self._compressor.compress(read(offset, length))
            self._kept[key] = piece
            self._kept_bytes += len(piece)
            while self._kept_bytes > CACHE_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= len(oldest)
            return piece
        self._kept.move_to_end(key)
        return self._kept[key]


def piece_of(chunk: pb.Chunk) -> bytes:
    """Return the bytes of a chunk, decompressed if it is compressed; never more than one piece.

    Raises:
        WireError: it is not one zstd frame that says how long a piece of at most ``CHUNK_BYTES`` it holds.
    """
    if not chunk.zstd:
        return chunk.data
    try:
        # Memory for the frame's content is taken by what its header says, so that is looked at first.
        if not 0 <= zstandard.frame_content_size(chunk.data) <= CHUNK_BYTES:
            raise WireError("A compressed piece of a buffer is larger than a piece may be.")
        return zstandard.ZstdDecompressor().decompress(chunk.data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise WireError("A compressed piece of a buffer is not a valid zstd frame.") from error
