"""Pieces of buffers as chunks: read when they are sent, and compressed with zstd where that is taken and helps."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import zstandard
from google.protobuf.message import Message

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.wire.frames import chunk_frame
from federation.wire.protocol import CHUNK_BYTES

Read = Callable[[int, int], bytes | memoryview]
"""Returns up to ``length`` bytes at ``offset`` of a buffer."""

LEVEL = 1
SAMPLE_BYTES = 64 << 10
WORTH = 0.8
"""A buffer is sent compressed if its sample shrinks to this share or less."""
KEPT_BYTES = 32 << 20
"""Frames that are kept for the next receiver of the same pieces."""
_REMEMBERED = 1_000


class PieceSender:
    """Makes the frames with the pieces that one process sends for one run.

    What many receivers fetch at once is read, compressed and serialized once.

    Args:
        kind: of the frames.
        keep: whether there are many receivers, so that frames are kept for the next one.
    """

    def __init__(self, kind: type[Message], *, keep: bool = False) -> None:
        self._kind = kind
        self._limit = KEPT_BYTES if keep else 0
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._worth: OrderedDict[bytes, bool] = OrderedDict()
        self._kept: OrderedDict[tuple[bytes, int, int, bool], bytes] = OrderedDict()
        self._kept_bytes = 0

    def frame(self, fetch: pb.Fetch, size: int | None, read: Read) -> bytes:
        """Return the serialized frame that answers ``fetch``.

        Args:
            fetch: what was asked for; at most ``CHUNK_BYTES`` of it are sent.
            size: of the whole buffer in bytes, or None where it is not to be had.
            read: reads it.
        """
        head = pb.Chunk(run_id=fetch.run_id, sha256=fetch.sha256, offset=fetch.offset)
        if size is None:
            head.missing = True
            return chunk_frame(self._kind, head, b"")
        length = min(fetch.length, CHUNK_BYTES)
        key = fetch.sha256, fetch.offset, length, fetch.zstd
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        head.size = size
        data = read(fetch.offset, length)
        if fetch.zstd and self._pays(fetch.sha256, read):
            head.zstd, data = True, self._compressor.compress(data)
        frame = chunk_frame(self._kind, head, data)
        self._keep(key, frame)
        return frame

    def _pays(self, sha256: bytes, read: Read) -> bool:
        if sha256 not in self._worth:
            sample = read(0, SAMPLE_BYTES)
            self._worth[sha256] = len(self._compressor.compress(sample)) <= WORTH * len(sample)
            if len(self._worth) > _REMEMBERED:
                self._worth.popitem(last=False)
        return self._worth[sha256]

    def _keep(self, key: tuple[bytes, int, int, bool], frame: bytes) -> None:
        if self._limit:
            self._kept[key] = frame
            self._kept_bytes += len(frame)
            while self._kept_bytes > self._limit:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= len(oldest)


class _Local(threading.local):
    """A decompressor for each thread: one serves no two at once, and making one takes longer than a small piece."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()


_local = _Local()


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
        return _local.decompressor.decompress(chunk.data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise WireError("A compressed piece of a buffer is not a valid zstd frame.") from error
