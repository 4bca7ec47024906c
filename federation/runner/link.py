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
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path

import grpc.aio
import structlog

from federation.errors import FederationError, RunFailedError, WireError
from federation.pb import federation_pb2 as pb
from federation.pki.keys import Credentials
from federation.runner.roll import Roll
from federation.runner.stream import Endpoint, RunnerStream
from federation.wire.buffers import BufferStore
from federation.wire.exchange import Inbox
from federation.wire.frames import frame_of, packed
from federation.wire.pieces import PieceSender
from federation.wire.protocol import known_code, referenced
from federation.wire.pulse import Patience, SilentError

Outgoing = asyncio.Queue[pb.ConductRequest | str | Callable[[], bytes] | None]
"""Frames, tasks by their id and pieces, which are made only when their turn comes, and None at the end."""

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds between two attempts to reach a gateway that is gone."""
_FINAL = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT}
"""Answers that trying again does not change."""
RECEIVING = 32
"""Replies whose buffers are fetched at once: with the pieces asked for ahead, what may wait at the gateway."""


class Link:
    """Sends tasks and collects replies, from the thread of the ServerApp.

    A task stays here until its reply has come. A node that goes away is waited for, and sent again what it has not
    answered once it has decided on the run anew (it does nothing twice: what it has answered before, it says again);
    after ``grace`` seconds it is lost, and its tasks are answered with an error. The gateway is waited for as long.

    Args:
        endpoint: the gateway.
        opening: returns the run's first frame, signed with the credentials that it is given.
        bundle: the app's bundle, which the nodes fetch by its digest.
        received: where large buffers of replies are received; on the disk before the reply counts.
        outbox: the open folder with buffers to send, which foreign code writes to.
        say: told what happens to nodes.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        opening: Callable[[Credentials], pb.RunOpen],
        bundle: bytes,
        received: BufferStore,
        outbox: int,
        say: Callable[..., None],
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
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._started: Future[None] = Future()
        self._roll = Roll(
            [place.node for place in self._opening.places],
            self._opening.grace,
            max(self._opening.grace, self._opening.timeout),
            self._resend,
            self._give_up,
            say,
        )
        # Tasks without a reply, and where frames go; both belong to the link's own thread. No queue: not connected.
        self._unanswered: dict[str, pb.Task] = {}
        self._outgoing: Outgoing | None = None
        self._patience = Patience()

    def start(self) -> None:
        """Open the run, and wait for nobody."""
        self._thread.start()

    def decisions(self) -> dict[str, pb.Decision]:
        """Return every node's decision; for a node that has not decided in time, that it is absent.

        Raises:
            RunFailedError: the gateway cannot be reached or refuses this runner.
        """
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

    def nodes(self) -> list[str]:
        """Return the names of the run's nodes, without those that are lost and not back.

        Raises:
            RunFailedError: the gateway is gone.
        """
        self.check()
        return self._roll.present()

    def lost(self) -> list[str]:
        """Return what is said of each node that is lost."""
        return self._roll.all_lost()

    @property
    def grace(self) -> float:
        """Seconds for which whoever is away is waited for."""
        return self._opening.grace

    def push(self, tasks: Sequence[pb.Task]) -> None:
        """Send tasks; the buffers that they name are in the outbox."""
        with self._changed:
            self._named.clear()
        self._call(functools.partial(self._push, tasks))

    def abandon(self, task_ids: Collection[str]) -> None:
        """Wait no more for replies to ``task_ids``."""
        with self._changed:
            for one in task_ids:
                self._replies.pop(one, None)
        self._call(lambda: [self._unanswered.pop(one, None) for one in task_ids])

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
        self._call(lambda: self._put(pb.ConductRequest(reply_refused=refused)))

    def received(self, sha256: bytes) -> Path:
        """Return where a received buffer lies."""
        return self._store.path(sha256)

    def close(self, outcome: str) -> None:
        """Tell gateway and nodes how the run ended, and close the stream."""
        if self._error is not None or not self._thread.is_alive():
            return
        end = pb.ConductRequest(run_end=pb.RunEnd(run_id=self._opening.run_id, outcome=outcome))

        def finish() -> None:
            self._closing = True
            self._roll.close()
            self._put(end)
            self._put(None)

        with contextlib.suppress(RunFailedError):  # the gateway went first
            self._call(finish)
        self._thread.join(timeout=10)

    def drop(self) -> None:
        """Close the stream without a word: the run is to be taken up again."""
        with contextlib.suppress(RunFailedError):
            self._call(self._main.cancel)
        self._thread.join(timeout=10)

    def _check(self) -> None:
        if self._error is not None:
            raise RunFailedError(self._error.what, where=self._error.where) from self._error

    def _call(self, act: Callable[[], object]) -> None:
        """Have ``act`` called in the link's own thread."""
        self._started.result()
        try:
            self._loop.call_soon_threadsafe(act)
        except RuntimeError:  # the loop has ended: the reason is, or will be, in _error
            self._thread.join()
            self._check()
            raise

    def _run(self) -> None:
        error: FederationError = RunFailedError("The gateway closed the run's stream.")
        try:
            asyncio.run(self._stay_connected())
        except RunFailedError as problem:
            error = problem
        except asyncio.CancelledError:
            error = RunFailedError("The run was interrupted.")
        except Exception as problem:
            log.error("the stream to the gateway failed", exc_info=problem)
            error = RunFailedError(f"The stream to the gateway failed ({type(problem).__name__}).")
        finally:
            with self._changed:
                self._error = error
                self._changed.notify_all()
                if self._on_lost is not None:
                    self._on_lost()

    async def _stay_connected(self) -> None:
        """Converse with the gateway; where it is gone, wait for it for as long as the run's grace is.

        Raises:
            RunFailedError: it refuses this runner, or does not come back.
        """
        self._loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        assert main is not None
        self._main = main
        self._receiving = asyncio.Semaphore(RECEIVING)
        self._started.set_result(None)
        gone_since, wait = time.monotonic(), FIRST_WAIT
        while True:
            why = "it closed the run's stream"
            try:
                await self._converse()
            except grpc.aio.AioRpcError as problem:
                why = problem.details() or problem.code().name
                if problem.code() in _FINAL:
                    raise self._failed(f"The gateway refuses this run: {why}") from problem
            except SilentError as problem:
                why = problem.what
            if self._closing:
                return
            if self._connected:
                gone_since, wait = time.monotonic(), FIRST_WAIT
                log.warning("the gateway is gone; trying again", reason=why)
            if time.monotonic() - gone_since + wait > self._opening.grace:
                raise self._failed(f"The gateway is not available: {why}")
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    def _failed(self, what: str) -> RunFailedError:
        return RunFailedError(what, where=self._endpoint.address)

    async def _converse(self) -> None:
        self._inbox = Inbox(self._store, self._opening.run_id)
        self._connected = False
        outgoing: Outgoing = asyncio.Queue()
        stream = RunnerStream(self._endpoint.current(), self._sign, self._patience)
        work = {asyncio.create_task(self._write(stream, outgoing))}

        def handle(frame: pb.ConductResponse) -> None:
            for one in (frame, *frame.more):
                self._handle(one, outgoing, work)

        self._outgoing = outgoing
        self._roll.expect_all()
        try:
            await stream.converse(handle)
        finally:
            self._outgoing = None
            self._roll.gateway_away()
            for task in work:
                task.cancel()

    def _put(self, frame: pb.ConductRequest | str | None) -> None:
        if self._outgoing is not None:
            self._outgoing.put_nowait(frame)

    def _push(self, tasks: Sequence[pb.Task]) -> None:
        for task in tasks:
            self._unanswered[task.task_id] = task
            if (lost := self._roll.lost(task.node)) is not None:
                self._settle(_lost_reply(task, lost))
            elif self._roll.is_here(task.node):
                self._put(task.task_id)

    def _resend(self, node: str) -> None:
        """Send a node that is back what it has not answered yet."""
        for task in self._unanswered.values():
            if task.node == node:
                self._put(task.task_id)

    def _give_up(self, node: str, why: str) -> None:
        """Answer the tasks of a node that is lost with an error."""
        for task in [one for one in self._unanswered.values() if one.node == node]:
            self._settle(_lost_reply(task, why))

    def _settle(self, reply: pb.Reply) -> None:
        if self._unanswered.pop(reply.task_id, None) is None:
            return  # it is here already, or nobody waits for it any more
        with self._changed:
            self._replies[reply.task_id] = reply
            self._awaited.discard(reply.task_id)
            if not self._awaited:  # the ServerApp's thread is woken once a batch
                self._changed.notify_all()

    def _handle(self, frame: pb.ConductResponse, outgoing: Outgoing, work: set[asyncio.Task[None]]) -> None:
        if not self._connected:
            self._connected = True
            self._patience.back()
        match getattr(frame, frame.WhichOneof("frame") or "", None):
            case pb.Reply() as reply:
                receiving = asyncio.create_task(self._receive(reply, outgoing))
                work.add(receiving)
                receiving.add_done_callback(work.discard)
            case pb.Fetch() as fetch:
                outgoing.put_nowait(functools.partial(self._piece, fetch))
            case pb.Chunk() as chunk:
                self._inbox.accept(chunk, chunk.node)
            case pb.NodeAway() as away:
                self._roll.away(away.node, away.final)
                self._inbox.cut(away.node)
            case pb.Decision() as decision:
                self._packs = frame.takes_more
                with self._changed:
                    self._decisions[decision.node] = decision
                    self._changed.notify_all()
                self._roll.decided(decision)

    async def _receive(self, reply: pb.Reply, outgoing: Outgoing) -> None:
        async def send(fetch: pb.Fetch) -> None:
            fetch.node = reply.node
            outgoing.put_nowait(pb.ConductRequest(fetch=fetch))

        if reply.HasField("error"):
            reply.error.code = known_code(reply.error.code)
        visit = self._roll.visit(reply.node)
        try:
            async with self._receiving:
                named = referenced(reply.content)
                new = {one for one in named.keys() - self._named if self._store.size(one) is None}
                self._named |= new
                await self._inbox.ensure_all(named, send, reply.node)
                for one in new:
                    await asyncio.to_thread(_sync, self._store.path(one))
                # The gateway counted up to the reply; what the reply names came after it.
                reply.traffic.from_node += sum(self._store.size(one) or 0 for one in new)
        except WireError as error:
            if self._roll.visit(reply.node) != visit:
                return  # the node went away meanwhile: it is asked again when it is back
            reply.error.code, reply.error.message = pb.TASK_ERROR_CODE_BAD_REPLY, error.what
        except OSError as error:
            log.error("a reply's buffer could not be kept", exc_info=error)
            reply.error.code, reply.error.message = pb.TASK_ERROR_CODE_BAD_REPLY, "The lab could not keep the reply."
        self._settle(reply)

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
            due = [self._task(one) if isinstance(one, str) else one for one in waiting]
            for frame in packed(one for one in due if one is not None):
                await stream.write(frame() if callable(frame) else frame)
        await stream.finish()

    def _task(self, task_id: str) -> bytes | None:
        """Return the frame of a task, or None where it waits for its reply no more: nobody would take that."""
        task = self._unanswered.get(task_id)
        return None if task is None else frame_of(pb.ConductRequest, "task", task)


def _lost_reply(task: pb.Task, why: str) -> pb.Reply:
    error = pb.TaskError(code=pb.TASK_ERROR_CODE_NODE_LOST, message=why)
    return pb.Reply(run_id=task.run_id, task_id=task.task_id, node=task.node, error=error)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
