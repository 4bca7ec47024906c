"""One peer's stream at the gateway: frames wait here until the peer takes them, and it can be cut at once."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message

from datalab.errors import DatalabError
from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder
from federation.wire.frames import packed, serialize
from federation.wire.protocol import MAX_FETCHES
from federation.wire.pulse import Patience, Pulse, SilentError

Incoming = TypeVar("Incoming", bound=Message)
Outgoing = TypeVar("Outgoing", bound=Message)

log = structlog.get_logger()

DRAIN_SECONDS = 10.0
"""How long a stream whose peer has closed its side is kept for what still waits to be sent."""
WRITTEN_SECONDS = 0.3
"""How long a stream that is cut waits for the frame that is being written."""
STALLED_SECONDS = 120.0
"""How long a peer may take for one frame before its stream is ended."""


MAX_DATASET_NAME = 64
Announced = pb.DatasetAnnouncement | pb.Decision


class Session(Generic[Incoming, Outgoing]):
    """A connected node or runner.

    Args:
        holder: what the peer's certificate says, verified by TLS and by role.
        patience: with its line, where one has had streams of the same peer before.

    Attributes:
        beat: makes what is sent to a peer that takes it when there is nothing else, anew each time, for what is sent
            next may be packed into it; None for one that does not.
    """

    def __init__(self, holder: Holder, patience: Patience | None = None) -> None:
        self.holder = holder
        self.beat: Callable[[], Outgoing] | None = None
        self._pulse = Pulse(patience or Patience())
        self.identity = holder.identity
        self.software = ""
        # What is left of privacy budgets, by dataset, as a node has said last.
        self.privacy_left: dict[str, float] = {}
        self.certificate = b""
        self.connected = self.last_seen = time.time()
        # Frames, and pieces of buffers that are read only when their turn comes: a peer that is slow to take them, or
        # does not take them at all, costs no memory for them.
        self._queue: asyncio.Queue[bytes | Callable[[], bytes]] = asyncio.Queue()
        self.waiting_bytes = 0
        self.strays = 0
        # Since when the peer has been taking the frame that is being written; set where none is.
        self._writing_since = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self.takes_more = False
        self._cut: asyncio.Future[DatalabError] = asyncio.get_running_loop().create_future()
        self._stalled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers: set[asyncio.Task[None]] = set()

    def note_privacy(self, dataset: str, said: Announced) -> None:
        """Note what is left of a dataset's privacy budget, where a node says so."""
        if said.HasField("privacy_left") and 0 <= said.privacy_left < math.inf:
            self.privacy_left[dataset[:MAX_DATASET_NAME]] = said.privacy_left

    def send(self, frame: Outgoing | bytes) -> None:
        """Queue a frame, serialized or not; ``waiting_bytes`` says how much waits here for the peer to take it."""
        data = serialize(frame)
        self.waiting_bytes += len(data)
        self._queue.put_nowait(data)

    def check_taking(self) -> None:
        """Have the stream of a peer end that does not take a frame; to be called now and then.

        A timer for each frame would cost more than what is done with most of them.
        """
        late = not self._idle.is_set() and time.monotonic() - self._writing_since > STALLED_SECONDS
        if late and not self._stalled.done():
            self._stalled.set_exception(WireError(f"The peer has taken nothing for {STALLED_SECONDS:.0f} seconds."))

    @property
    def is_cut(self) -> bool:
        """Whether the stream is being ended from here."""
        return self._cut.done()

    @property
    def fell_silent(self) -> bool:
        """Whether it is being ended because nothing was heard of its peer any more."""
        return self._cut.done() and isinstance(self._cut.result(), SilentError)

    def cut(self, reason: DatalabError) -> None:
        """End the stream now; the peer is told why."""
        if not self._cut.done():
            self._cut.set_result(reason)

    def pass_time(self, seconds: float) -> bool:
        """Say that this end is there, if it is time to; return whether the other end has fallen silent now."""
        self._pulse.pass_time(seconds)
        at_rest = self._queue.empty() and self._idle.is_set()
        if self.beat is not None and self._pulse.due and (at_rest or self._pulse.unannounced):
            self.send(self.beat())
            self._pulse.said(beat=True)
        if self._pulse.silent and not self.is_cut:
            self.cut(self._pulse.lost())
            return True
        return False

    def answer(self, fetch: pb.Fetch, serve: Callable[[pb.Fetch], Awaitable[Callable[[], bytes]]]) -> None:
        """Serve a fetch when its piece is there, without holding up the stream.

        Args:
            fetch: what the peer asks for.
            serve: returns, once the piece is there, what reads it and makes the serialized frame.

        Raises:
            WireError: the peer has too many fetches waiting.
        """
        if len(self._answers) + self._queue.qsize() >= MAX_FETCHES:
            raise WireError(f"More than {MAX_FETCHES} fetches wait for an answer.")

        async def run() -> None:
            self._queue.put_nowait(await serve(fetch))

        task = asyncio.create_task(run())
        self._answers.add(task)
        task.add_done_callback(self._answered)

    async def serve(
        self,
        requests: AsyncIterator[Incoming],
        context: grpc.aio.ServicerContext[Any, Any],
        handle: Callable[[Incoming], Awaitable[None]],
    ) -> None:
        """Read and write until the peer closes or is cut.

        Raises:
            WireError: the peer breaks the protocol, or does not take what it is sent.
        """
        reader = asyncio.create_task(self._read(requests, handle))
        writer = asyncio.create_task(self._write(context))
        try:
            waiting: set[asyncio.Future[Any]] = {reader, writer, self._cut, self._stalled}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._cut.done():
                await self._written()
                code = grpc.StatusCode.UNAVAILABLE if self.fell_silent else grpc.StatusCode.PERMISSION_DENIED
                await context.abort(code, str(self._cut.result()))
            for task in (reader, writer, self._stalled):
                if task.done() and (error := task.exception()) is not None:
                    await self._written()
                    raise error
            if reader.done() and not writer.done():
                await self._drain()
        finally:
            for task in (reader, writer, *self._answers):
                task.cancel()

    async def _written(self) -> None:
        """Wait a moment for the frame that is being written: a stream cannot be ended with a reason before."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), WRITTEN_SECONDS)

    async def _drain(self) -> None:
        """Send what still waits for a peer that has closed its own side."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(*self._answers)
                await self._queue.join()

    async def _write(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        while True:
            waiting = [await self._queue.get()]
            while self.takes_more and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            for frame in packed(waiting) if self.takes_more else waiting:
                if self._stopping:
                    return
                self._writing_since = time.monotonic()
                self._idle.clear()
                try:
                    await context.write(frame() if callable(frame) else frame)
                finally:
                    self._idle.set()
                self._pulse.said()
            for one in waiting:
                self.waiting_bytes -= 0 if callable(one) else len(one)
                self._queue.task_done()

    async def _read(self, requests: AsyncIterator[Incoming], handle: Callable[[Incoming], Awaitable[None]]) -> None:
        async for request in requests:
            self.last_seen = time.time()
            beat = request.WhichOneof("frame") == "beat"
            self._pulse.heard(beat=beat)
            if not beat:
                await handle(request)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("fetch failed", peer=str(self.identity), exc_info=error)
