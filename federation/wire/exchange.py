"""Receives buffers from a peer over the stream that both have anyway.

The receiver pulls: it asks for pieces, keeps a few of them outstanding, and asks for nothing that it has. The sender
answers each request with one piece. Resumption, deduplication and flow control need nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.wire.buffers import BufferStore
from federation.wire.pieces import piece_of
from federation.wire.protocol import CHUNK_BYTES, FETCH_WINDOW, MAX_BUFFER_BYTES, STALL_SECONDS, TRANSFERS

SendFetch = Callable[[pb.Fetch], Awaitable[None]]

_LOST = "The connection was lost during a transfer."
_STALLED = "A transfer has stalled: the peer sends no more of a buffer."


class Inbox:
    """Buffers of one run that this process receives, from whichever peer has them.

    Args:
        store: where they are kept.
        run_id: the run whose buffers they are.
        stall: seconds without a piece after which a transfer is given up.
    """

    def __init__(self, store: BufferStore, run_id: str, *, stall: float = STALL_SECONDS) -> None:
        self._store = store
        self._run_id = run_id
        self._stall = stall
        self._transfers: dict[bytes, _Transfer] = {}
        # Pieces that are passed on as they come, and who was asked for them.
        self._passing: dict[tuple[str, bytes, int], asyncio.Future[pb.Chunk]] = {}
        # Of one source only so many are under way at once: that bounds memory, and one source never holds up another.
        self._slots: dict[str, asyncio.Semaphore] = {}

    def accept(self, chunk: pb.Chunk, source: str = "") -> None:
        """Take a piece that ``source`` sent; one that it was not asked for, or is not any more, is dropped."""
        transfer = self._transfers.get(chunk.sha256)
        piece = transfer.pieces.get(chunk.offset) if transfer and transfer.source == source else None
        if piece is None:
            piece = self._passing.get((source, chunk.sha256, chunk.offset))
        if piece is not None and not piece.done():
            piece.set_result(chunk)

    async def ensure(self, sha256: bytes, send: SendFetch, source: str = "", size: int | None = None) -> None:
        """Wait until the whole buffer is here, fetching what is missing from ``source``, the peer behind ``send``.

        Args:
            sha256: its digest.
            send: sends a fetch to the peer.
            source: the peer.
            size: what it must have in bytes, where that is known.

        Raises:
            WireError: the peer does not have it, is gone, stalls, or sends something else.
        """
        while self._store.size(sha256) is None:
            transfer = self._start(sha256, send, source, size)
            try:
                await asyncio.shield(transfer.task)
            except WireError:
                if transfer.source == source:
                    raise  # else it was another source's fault

    async def ensure_all(self, named: Mapping[bytes, int], send: SendFetch, source: str = "") -> None:
        """Wait until all buffers (digest and size) are here, several on their way at once.

        Raises:
            WireError: as ``ensure``, for one of them.
        """
        transfers = (self.ensure(sha256, send, source, size) for sha256, size in named.items())
        for ended in await asyncio.gather(*transfers, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    async def available(
        self, sha256: bytes, end: int, send: SendFetch, source: str = "", expected: int | None = None
    ) -> int:
        """Wait until the first ``end`` bytes are here, so that a relay need not wait for the rest; return the size.

        Raises:
            WireError: as ``ensure``.
        """
        while (size := self._store.size(sha256)) is None:
            transfer = self._start(sha256, send, source, expected)
            if transfer.size is not None and self._store.received(sha256) >= min(end, transfer.size):
                return transfer.size
            progress = asyncio.ensure_future(transfer.progress.wait())
            await asyncio.wait({progress, transfer.task}, return_when=asyncio.FIRST_COMPLETED)
            progress.cancel()
            if transfer.task.done():
                transfer.task.result()
        return size

    async def relay(self, fetch: pb.Fetch, send: SendFetch, source: str) -> pb.Chunk:
        """Return the answer to ``fetch`` as ``source``, the peer behind ``send``, gives it; nothing of it is kept here.

        Raises:
            WireError: as ``ensure``.
        """
        wanted = (source, fetch.sha256, fetch.offset)
        if wanted not in self._passing:
            piece: asyncio.Future[pb.Chunk] = asyncio.get_running_loop().create_future()
            self._passing[wanted] = piece
            piece.add_done_callback(lambda _: self._passing.pop(wanted))
            await send(fetch)
        piece = self._passing[wanted]
        try:
            async with asyncio.timeout(self._stall):
                chunk = await asyncio.shield(piece)
        except TimeoutError:
            piece.cancel()
            raise WireError(_STALLED) from None
        _checked(chunk, None)
        return chunk

    def cut(self, source: str | None = None) -> None:
        """End what is being fetched, from ``source`` or from all: the peer is gone.

        What has arrived stays, and a later fetch goes on from there.
        """
        for transfer in self._transfers.values():
            if source in (None, transfer.source):
                transfer.lost = True
                for piece in transfer.pieces.values():
                    if not piece.done():
                        piece.set_exception(WireError(_LOST))
        for (asked, *_), piece in self._passing.items():
            if source in (None, asked) and not piece.done():
                piece.set_exception(WireError(_LOST))

    def _start(self, sha256: bytes, send: SendFetch, source: str, size: int | None) -> _Transfer:
        transfer = self._transfers.get(sha256)
        if transfer is None:
            transfer = self._transfers[sha256] = _Transfer(source, size)
            transfer.task = asyncio.create_task(self._fetch(sha256, send, transfer))
            transfer.task.add_done_callback(lambda task: self._ended(sha256, task))
        return transfer

    def _ended(self, sha256: bytes, task: asyncio.Task[None]) -> None:
        del self._transfers[sha256]
        if not task.cancelled():
            task.exception()  # whoever waits has it; there may be nobody any more

    async def _fetch(self, sha256: bytes, send: SendFetch, transfer: _Transfer) -> None:
        async with self._slots.setdefault(transfer.source, asyncio.Semaphore(TRANSFERS)):
            asked = offset = self._store.received(sha256)
            if transfer.size is not None and offset >= transfer.size:
                # A crash came between its last byte and its name.
                self._store.append(sha256, offset, b"", transfer.size)
            while transfer.size is None or offset < transfer.size:
                if transfer.lost:
                    raise WireError(_LOST)
                # Until the size is known, ask for one piece only.
                while len(transfer.pieces) < FETCH_WINDOW and asked < (transfer.size or offset + 1):
                    transfer.pieces[asked] = asyncio.get_running_loop().create_future()
                    fetch = pb.Fetch(run_id=self._run_id, sha256=sha256, offset=asked, length=CHUNK_BYTES, zstd=True)
                    await send(fetch)
                    asked += CHUNK_BYTES
                try:
                    async with asyncio.timeout(self._stall):
                        chunk = await transfer.pieces[offset]
                except TimeoutError:
                    raise WireError(_STALLED) from None
                del transfer.pieces[offset]
                data = _checked(chunk, transfer.size)
                transfer.size = chunk.size
                self._store.append(sha256, offset, data, chunk.size)
                offset += len(data)
                transfer.advance()


class _Transfer:
    """One buffer on its way: the pieces asked for, and a signal for those who wait for more of it."""

    task: asyncio.Task[None]

    def __init__(self, source: str, size: int | None) -> None:
        self.source = source
        self.lost = False
        self.size = size
        self.pieces: dict[int, asyncio.Future[pb.Chunk]] = {}
        self.progress = asyncio.Event()

    def advance(self) -> None:
        self.progress.set()
        self.progress = asyncio.Event()


def _checked(chunk: pb.Chunk, size: int | None) -> bytes:
    """Return the piece that a chunk brings."""
    if chunk.missing:
        raise WireError("The peer does not have a buffer that it named.")
    if chunk.size > MAX_BUFFER_BYTES or (size is not None and chunk.size != size):
        raise WireError("The peer gave a buffer a size that it cannot have.")
    data = piece_of(chunk)
    if chunk.offset > chunk.size or len(data) != min(CHUNK_BYTES, chunk.size - chunk.offset):
        raise WireError("The peer sent a piece of a buffer that is not what was asked for.")
    return data
