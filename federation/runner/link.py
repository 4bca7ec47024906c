"""The runner's stream to the gateway, in a thread of its own so that the ServerApp may block as it likes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import structlog

from federation.errors import FederationError, RunFailedError, WireError
from federation.pb import federation_pb2 as pb
from federation.pki.keys import Credentials
from federation.wire.buffers import BufferStore, StoredBuffer
from federation.wire.channel import mutual_tls_channel
from federation.wire.exchange import Inbox
from federation.wire.frames import chunk_frame, packed, serialize
from federation.wire.protocol import (
    CHUNK_BYTES,
    FETCH_WINDOW,
    MAX_FETCHES,
    RUN_CONDUCT,
    referenced,
)

log = structlog.get_logger()


@dataclass(frozen=True)
class Endpoint:
    """Where the gateway listens, and who this runner is."""

    address: str
    credentials: Credentials


class Link:
    """Sends tasks and collects replies, from the thread of the ServerApp.

    Args:
        endpoint: the gateway.
        opening: the run's first frame.
        bundle: the app's bundle, which the nodes fetch by its digest.
        folder: where large buffers of replies are received.
    """

    def __init__(self, endpoint: Endpoint, opening: pb.RunOpen, bundle: bytes, folder: Path) -> None:
        self._endpoint = endpoint
        self._opening = opening
        self._store = BufferStore(folder)
        self._bundle = {hashlib.sha256(bundle).digest(): memoryview(bundle)}
        # What the last batches named: a model is asked for while its round lasts, and is the next round's as well.
        self._batches: deque[dict[bytes, memoryview]] = deque([{}], maxlen=3)
        self._changed = threading.Condition()
        self._decisions: dict[str, pb.Decision] = {}
        self._replies: dict[str, pb.Reply] = {}
        self._awaited: set[str] = set()
        self._packs = False
        self._named: set[bytes] = set()
        self._error: FederationError | None = None
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._started: Future[asyncio.Queue[pb.ConductRequest | bytes | None]] = Future()

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

    def put(self, buffer: memoryview) -> bytes:
        """Keep a buffer for the nodes to fetch, and return its SHA-256."""
        sha256 = hashlib.sha256(buffer).digest()
        with self._changed:
            self._batches[-1][sha256] = buffer
        return sha256

    def push(self, tasks: Iterable[pb.Task]) -> None:
        """Send tasks; the buffers that they name have been ``put`` since the last push."""
        self._send(*(pb.ConductRequest(task=task) for task in tasks))
        with self._changed:
            self._batches.append({})

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

    def refuse(self, reply: pb.Reply, why: str) -> None:
        """Have the gateway write down that a reply was refused, and its node told."""
        refused = pb.ReplyRefused(run_id=self._opening.run_id, task_id=reply.task_id, node=reply.node, reason=why)
        self._send(pb.ConductRequest(reply_refused=refused))

    def read(self, sha256: bytes) -> StoredBuffer:
        """Return a received buffer."""
        return StoredBuffer(self._store.path(sha256))

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

    async def _converse(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox(self._store, self._opening.run_id)
        self._receiving = asyncio.Semaphore(MAX_FETCHES // FETCH_WINDOW)
        outgoing: asyncio.Queue[pb.ConductRequest | bytes | None] = asyncio.Queue()
        outgoing.put_nowait(pb.ConductRequest(open=self._opening, takes_more=True))
        self._started.set_result(outgoing)
        async with mutual_tls_channel(self._endpoint.address, self._endpoint.credentials) as channel:
            call = channel.stream_stream(
                RUN_CONDUCT,
                request_serializer=serialize,
                response_deserializer=pb.ConductResponse.FromString,
            )()
            work = {asyncio.create_task(self._write(call, outgoing))}
            try:
                async for frame in call:
                    for one in (frame, *frame.more):
                        self._handle(one, outgoing, work)
            finally:
                for task in work:
                    task.cancel()

    def _handle(
        self,
        frame: pb.ConductResponse,
        outgoing: asyncio.Queue[pb.ConductRequest | bytes | None],
        work: set[asyncio.Task[None]],
    ) -> None:
        match getattr(frame, frame.WhichOneof("frame") or "", None):
            case pb.Reply() as reply:
                receiving = asyncio.create_task(self._receive(reply, outgoing))
                work.add(receiving)
                receiving.add_done_callback(work.discard)
            case pb.Fetch() as fetch:
                outgoing.put_nowait(self._piece(fetch))
            case pb.Chunk() as chunk:
                self._inbox.accept(chunk)
            case pb.Decision() as decision:
                self._packs = frame.takes_more
                with self._changed:
                    self._decisions[decision.node] = decision
                    self._changed.notify_all()

    async def _receive(self, reply: pb.Reply, outgoing: asyncio.Queue[pb.ConductRequest | bytes | None]) -> None:
        async def send(fetch: pb.Fetch) -> None:
            outgoing.put_nowait(pb.ConductRequest(fetch=fetch))

        try:
            async with self._receiving:
                for sha256 in referenced(reply.content):
                    new = self._store.size(sha256) is None and sha256 not in self._named
                    self._named.add(sha256)
                    await self._inbox.ensure(sha256, send)
                    # The gateway counted up to the reply; what the reply names came after it.
                    reply.traffic.from_node += (self._store.size(sha256) or 0) if new else 0
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
        chunk = pb.Chunk(run_id=fetch.run_id, sha256=fetch.sha256, offset=fetch.offset)
        with self._changed:
            known = (self._bundle, *self._batches)
        for buffers in known:
            if fetch.sha256 in buffers:
                buffer = buffers[fetch.sha256]
                chunk.size = buffer.nbytes
                data = buffer[fetch.offset : fetch.offset + min(fetch.length, CHUNK_BYTES)]
                return chunk_frame(pb.ConductRequest, chunk, data)
        chunk.missing = True
        return pb.ConductRequest(chunk=chunk).SerializeToString()

    async def _write(
        self,
        call: grpc.aio.StreamStreamCall[Any, pb.ConductResponse],
        outgoing: asyncio.Queue[pb.ConductRequest | bytes | None],
    ) -> None:
        ended = False
        while not ended:
            waiting = [await outgoing.get()]
            while self._packs and not outgoing.empty():
                waiting.append(outgoing.get_nowait())
            ended = None in waiting
            for frame in packed(one for one in waiting if one is not None):
                await call.write(frame)
        await call.done_writing()
