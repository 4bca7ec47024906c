"""The runner's stream to the gateway, in a thread of its own so that the ServerApp may block as it likes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from pathlib import Path

import grpc.aio
import structlog

from federation.errors import FederationError, RunFailedError, WireError
from federation.pb import federation_pb2 as pb
from federation.pki.keys import Credentials
from federation.runner.stream import Endpoint, RunnerStream
from federation.wire.buffers import BufferStore
from federation.wire.exchange import Inbox
from federation.wire.frames import packed
from federation.wire.pieces import PieceSender
from federation.wire.protocol import known_code, referenced

Outgoing = asyncio.Queue[pb.ConductRequest | Callable[[], bytes] | None]
"""Frames, pieces that are read only when their turn comes, and None at the end."""

log = structlog.get_logger()

RECEIVING = 32
"""Replies whose buffers are fetched at once: with the pieces asked for ahead, what may wait at the gateway."""


class Link:
    """Sends tasks and collects replies, from the thread of the ServerApp.

    Args:
        endpoint: the gateway.
        opening: returns the run's first frame, signed with the credentials that it is given.
        bundle: the app's bundle, which the nodes fetch by its digest.
        received: where large buffers of replies are received.
        outbox: the open folder with buffers to send, which foreign code writes to.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        opening: Callable[[Credentials], pb.RunOpen],
        bundle: bytes,
        received: BufferStore,
        outbox: int,
    ) -> None:
        self._endpoint = endpoint
        self._sign = opening
        self._opening = opening(endpoint.credentials)
        self._store = received
        self._outbox = outbox
        self._pieces = PieceSender(pb.ConductRequest)
        self._bundle = {hashlib.sha256(bundle).digest(): bundle}
        self._changed = threading.Condition()
        self._decisions: dict[str, pb.Decision] = {}
        self._replies: dict[str, pb.Reply] = {}
        self._awaited: set[str] = set()
        self._packs = False
        self._named: set[bytes] = set()
        self._error: FederationError | None = None
        self._on_lost: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._started: Future[Outgoing] = Future()

    def open(self) -> dict[str, pb.Decision]:
        """Open the run and return every node's decision; a node that has not decided in time is absent.

        Raises:
            RunFailedError: the gateway cannot be reached or refuses this runner.
        """
        self._thread.start()
        deadline = time.monotonic() + self._opening.timeout
        names = {place.node for place in self._opening.places}
        with self._changed:
            while not names <= self._decisions.keys() and (left := deadline - time.monotonic()) > 0:
                self._check()
                self._changed.wait(min(left, 1.0))
            absent = {
                name: pb.Decision(node=name, code=pb.DECISION_CODE_ABSENT, reason="The node did not answer in time.")
                for name in names
            }
            return absent | self._decisions

    def push(self, tasks: Iterable[pb.Task]) -> None:
        """Send tasks; the buffers that they name are in the outbox. What replies named before is no longer kept."""
        self._send(*(pb.ConductRequest(task=task) for task in tasks))
        with self._changed:
            unread = {sha256 for reply in self._replies.values() for sha256 in referenced(reply.content)}
            self._named.clear()
        self._loop.call_soon_threadsafe(self._store.trim, unread)

    def pull(self, task_ids: Collection[str]) -> dict[str, pb.Reply]:
        """Return, and forget, the replies that are here."""
        with self._changed:
            self._check()
            return {one: self._replies.pop(one) for one in task_ids if one in self._replies}

    def wait(self, task_ids: Collection[str], timeout: float | None) -> dict[str, pb.Reply]:
        """Return, and forget, the replies to ``task_ids``: all of them, or those that came within ``timeout`` seconds.

        Raises:
            RunFailedError: the gateway is gone.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._awaited = set(task_ids) - self._replies.keys()
            while self._awaited:
                self._check()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
        return self.pull(task_ids)

    def on_lost(self, act: Callable[[], None] | None) -> None:
        """Have ``act`` called once the gateway is gone, at once if it is already; None for nothing any more."""
        with self._changed:
            self._on_lost = act
            if act is not None and self._error is not None:
                act()

    def check(self) -> None:
        """Raise RunFailedError if the gateway is gone."""
        with self._changed:
            self._check()

    def refuse(self, reply: pb.Reply, why: str) -> None:
        """Have the gateway write down that a reply was refused, and its node told."""
        refused = pb.ReplyRefused(run_id=self._opening.run_id, task_id=reply.task_id, node=reply.node, reason=why)
        self._send(pb.ConductRequest(reply_refused=refused))

    def received(self, sha256: bytes) -> Path:
        """Return where a received buffer lies."""
        return self._store.path(sha256)

    def close(self, outcome: str) -> None:
        """Tell gateway and nodes how the run ended, and close the stream."""
        if self._error is not None or not self._thread.is_alive():
            return
        with contextlib.suppress(RunFailedError):  # the gateway went first
            self._send(pb.ConductRequest(run_end=pb.RunEnd(run_id=self._opening.run_id, outcome=outcome)))
            self._send(None)
        self._thread.join(timeout=10)

    def _check(self) -> None:
        if self._error is not None:
            raise RunFailedError(self._error.what, where=self._error.where) from self._error

    def _send(self, *frames: pb.ConductRequest | None) -> None:
        queue = self._started.result()

        def put() -> None:
            for frame in frames:
                queue.put_nowait(frame)

        try:
            self._loop.call_soon_threadsafe(put)
        except RuntimeError:  # the loop has ended: the reason is, or will be, in _error
            self._thread.join()
            self._check()
            raise

    def _run(self) -> None:
        error: FederationError = RunFailedError("The gateway closed the run's stream.")
        try:
            asyncio.run(self._converse())
        except grpc.aio.AioRpcError as problem:
            error = RunFailedError(f"The gateway is not available: {problem.details()}", where=self._endpoint.address)
        except Exception as problem:
            log.error("the stream to the gateway failed", exc_info=problem)
            error = RunFailedError(f"The stream to the gateway failed ({type(problem).__name__}).")
        finally:
            with self._changed:
                self._error = error
                self._changed.notify_all()
                if self._on_lost is not None:
                    self._on_lost()

    async def _converse(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox(self._store, self._opening.run_id)
        self._receiving = asyncio.Semaphore(RECEIVING)
        outgoing: Outgoing = asyncio.Queue()
        self._started.set_result(outgoing)
        stream = RunnerStream(self._endpoint, self._sign)
        work = {asyncio.create_task(self._write(stream, outgoing))}

        def handle(frame: pb.ConductResponse) -> None:
            for one in (frame, *frame.more):
                self._handle(one, outgoing, work)

        try:
            await stream.converse(handle)
        finally:
            for task in work:
                task.cancel()

    def _handle(self, frame: pb.ConductResponse, outgoing: Outgoing, work: set[asyncio.Task[None]]) -> None:
        match getattr(frame, frame.WhichOneof("frame") or "", None):
            case pb.Reply() as reply:
                receiving = asyncio.create_task(self._receive(reply, outgoing))
                work.add(receiving)
                receiving.add_done_callback(work.discard)
            case pb.Fetch() as fetch:
                outgoing.put_nowait(functools.partial(self._piece, fetch))
            case pb.Chunk() as chunk:
                self._inbox.accept(chunk, chunk.node)
            case pb.Decision() as decision:
                self._packs = frame.takes_more
                with self._changed:
                    self._decisions[decision.node] = decision
                    self._changed.notify_all()

    async def _receive(self, reply: pb.Reply, outgoing: Outgoing) -> None:
        async def send(fetch: pb.Fetch) -> None:
            fetch.node = reply.node
            outgoing.put_nowait(pb.ConductRequest(fetch=fetch))

        if reply.HasField("error"):
            reply.error.code = known_code(reply.error.code)
        try:
            async with self._receiving:
                named = referenced(reply.content)
                new = {one for one in named.keys() - self._named if self._store.size(one) is None}
                self._named |= new
                await self._inbox.ensure_all(named, send, reply.node)
                # The gateway counted up to the reply; what the reply names came after it.
                reply.traffic.from_node += sum(self._store.size(one) or 0 for one in new)
        except WireError as error:
            reply.error.code, reply.error.message = pb.TASK_ERROR_CODE_BAD_REPLY, error.what
        except OSError as error:
            log.error("a reply's buffer could not be kept", exc_info=error)
            reply.error.code, reply.error.message = pb.TASK_ERROR_CODE_BAD_REPLY, "The lab could not keep the reply."
        with self._changed:
            self._replies[reply.task_id] = reply
            self._awaited.discard(reply.task_id)
            if not self._awaited:  # the ServerApp's thread is woken once a batch
                self._changed.notify_all()

    def _piece(self, fetch: pb.Fetch) -> bytes:
        if (bundle := self._bundle.get(fetch.sha256)) is not None:
            return self._pieces.frame(fetch, len(bundle), lambda at, length: bundle[at : at + length])
        try:
            # Foreign code may have left anything there; whoever receives it checks its digest.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(fetch.sha256.hex(), flags, dir_fd=self._outbox)
        except OSError:
            return self._pieces.frame(fetch, None, lambda *_: b"")
        try:
            status = os.fstat(file)
            size = status.st_size if stat.S_ISREG(status.st_mode) else None
            return self._pieces.frame(fetch, size, lambda at, length: os.pread(file, length, at))
        finally:
            os.close(file)

    async def _write(self, stream: RunnerStream, outgoing: Outgoing) -> None:
        ended = False
        while not ended:
            waiting = [await outgoing.get()]
            while self._packs and not outgoing.empty():
                waiting.append(outgoing.get_nowait())
            ended = None in waiting
            for frame in packed(one for one in waiting if one is not None):
                await stream.write(frame() if callable(frame) else frame)
        await stream.finish()
