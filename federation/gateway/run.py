"""One run at the gateway: which nodes take part, which tasks wait for a reply, and where its buffers come from."""

from __future__ import annotations

import asyncio
import contextlib
import math
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from federation.errors import WireError
from federation.gateway.session import Session
from federation.pb import federation_pb2 as pb
from federation.wire.buffers import BufferStore
from federation.wire.exchange import Inbox, SendFetch
from federation.wire.frames import chunk_frame
from federation.wire.pieces import PieceSender
from federation.wire.protocol import (
    CACHE_BYTES,
    CHUNK_BYTES,
    MAX_PENDING_TASKS,
    MAX_SOURCES,
    check_digest,
    check_run_id,
    known_code,
    referenced,
)
from federation.wire.sealed import same_offer

NodeSession = Session[pb.ConnectRequest, pb.ConnectResponse]
RunnerSession = Session[pb.ConductRequest, pb.ConductResponse]

MAX_GRACE = 3600.0
"""Seconds that a run may wait for its runner, at most."""
RUNNER = ""
"""Stands for the run's runner among the names of nodes, which are never empty."""
STALLED = pb.TaskError(code=pb.TASK_ERROR_CODE_NODE_LOST, message="The node does not take what it is sent.")


@dataclass
class Place:
    """A node's part in a run."""

    offer: pb.Offer
    traffic: pb.Traffic = field(default_factory=pb.Traffic)
    decided: bool = False
    refused: int = 0
    head: pb.AuditHead | None = None


class Run:
    """A run as the gateway sees it, from its opening to the end of its runner's stream.

    Args:
        opening: the runner's first frame.
        runner: the stream that it came on.
        folder: where buffers of all runs are relayed through.

    Raises:
        WireError: the opening is malformed.
    """

    def __init__(self, opening: pb.RunOpen, runner: RunnerSession, folder: Path) -> None:
        self.id = check_run_id(opening.run_id)
        self.runner = runner
        # The stream that the runner's present one continues; it is read and written to its end.
        self.former: RunnerSession | None = None
        self.places: dict[str, Place] = {}
        self.pending: dict[str, str] = {}
        # Tasks that wait no more, as their node or the runner went away: the runner sends them again, and a reply that
        # comes meanwhile, or a second time, is dropped without a word.
        self._set_aside: OrderedDict[str, str] = OrderedDict()
        self.end = pb.RunEnd(run_id=self.id, outcome="failed")
        # Whether the runner has said how the run ended; and what gives the run up, should the runner not come back.
        self.ended = False
        self.giving_up: asyncio.TimerHandle | None = None
        self.grace = min(max(opening.grace, 0.0), MAX_GRACE)
        self._folder = folder / self.id
        self.store = BufferStore(self._folder, CACHE_BYTES)
        self.inbox = Inbox(self.store, self.id)
        self._pieces = PieceSender(pb.ConnectResponse, keep=True)
        # Who has named a buffer: RUNNER, or nodes; those named last come last.
        self._sources: OrderedDict[bytes, set[str]] = OrderedDict()
        # How large a buffer that the runner has named is, as it says.
        self._sizes: dict[bytes, int] = {}
        for place in opening.places:
            if place.offer.run_id != self.id or place.node in self.places:
                raise WireError("A run's opening names another run, or a node twice.")
            self.places[place.node] = Place(place.offer)
            self._sources[check_digest(place.offer.app_sha256)] = {RUNNER}

    def take_up(self, opening: pb.RunOpen, runner: RunnerSession) -> None:
        """Go on with the run on another stream of its runner, which sends anew what is not answered yet.

        Raises:
            WireError: the opening asks for something else than the first one.
        """
        offers = {place.node: place.offer for place in opening.places}
        if offers.keys() != self.places.keys() or not all(
            same_offer(self.places[one].offer, offers[one]) for one in offers
        ):
            raise WireError("A run that is taken up again must be the same in every word.")
        self.runner_back()
        self.runner, self.former, self.ended = runner, None, False
        for name, place in self.places.items():
            place.offer.runner_signature = offers[name].runner_signature
            place.offer.runner_chain_pem = offers[name].runner_chain_pem
            place.decided = False
        self.runner_away()

    def runner_away(self) -> None:
        """Have nothing wait for a reply, or for a buffer of the runner's; its nodes are kept."""
        self.inbox.cut(RUNNER)
        self._put_aside(list(self.pending))

    def runner_back(self) -> None:
        """Give the run up no more."""
        if self.giving_up is not None:
            self.giving_up.cancel()
            self.giving_up = None

    def accept_task(self, task: pb.Task) -> None:
        """Note a task from the runner, and that the buffers it names come from there.

        Raises:
            WireError: it is for a node outside the run, its id was used before and still waits, or too many wait.
        """
        if task.run_id != self.id or task.node not in self.places or task.task_id in self.pending:
            raise WireError("A task names another run, a node outside it, or an id that is in use.")
        if len(self.pending) >= MAX_PENDING_TASKS:
            raise WireError(f"More than {MAX_PENDING_TASKS} tasks wait for their replies.")
        if not 0 < task.ttl < math.inf:
            raise WireError("A task must say for how many seconds it counts.")
        named = referenced(task.content)
        for sha256, size in named.items():
            self._add_source(sha256, RUNNER)
            self._sizes[sha256] = size
        self.store.trim(keep=named)
        self.pending[task.task_id] = task.node

    def accept_reply(self, reply: pb.Reply, node: str) -> bool:
        """Note a reply from ``node``, and that the buffers it names come from there; return whether it is waited for.

        Raises:
            WireError: no task of this run waits for a reply from that node under that id.
        """
        if self.pending.get(reply.task_id) != node:
            if self._set_aside.get(reply.task_id) == node:
                return False
            raise WireError("A reply answers a task that its sender was not given.")
        for sha256 in referenced(reply.content):
            self._add_source(sha256, node)
        del self.pending[reply.task_id]
        if reply.WhichOneof("result") == "error":
            reply.error.code = known_code(reply.error.code)
        reply.node = node
        reply.traffic.CopyFrom(self.places[node].traffic)
        return True

    def lose(self, node: str, final: str = "") -> None:
        """Tell the runner that a node is gone, and end transfers from it; its tasks wait here no more.

        Args:
            node: its name.
            final: why it does not come back, if it does not.
        """
        self.runner.send(pb.ConductResponse(away=pb.NodeAway(node=node, final=final)))
        self.inbox.cut(node)
        self._put_aside([one for one, at in self.pending.items() if at == node])

    def answer_for(self, task_id: str, node: str, error: pb.TaskError) -> None:
        """Answer a task with an error in its node's place, if it is waited for; it no longer is."""
        if self.pending.get(task_id) == node:
            del self.pending[task_id]
            reply = pb.Reply(run_id=self.id, task_id=task_id, node=node, error=error)
            self.runner.send(pb.ConductResponse(reply=reply))

    async def piece_for_node(self, fetch: pb.Fetch) -> Callable[[], bytes]:
        """Wait until the piece that ``fetch`` asks for has come from the runner.

        What is returned reads it, when it is to be sent, and makes the frame. A node gets what the runner has named;
        what another node produced is not to be had, even by its digest.
        """
        size: int | None = None
        if RUNNER in self._sources.get(fetch.sha256, ()):
            end = fetch.offset + min(fetch.length, CHUNK_BYTES)
            with contextlib.suppress(WireError):
                expected = self._sizes.get(fetch.sha256)
                size = await self.inbox.available(fetch.sha256, end, self._send_to(RUNNER, {}), RUNNER, expected)

        def read() -> bytes:
            try:
                return self._pieces.frame(fetch, size, lambda at, length: self.store.read(fetch.sha256, at, length))
            except FileNotFoundError:  # it has made room for others since; whoever wants it asks again
                return self._pieces.frame(fetch, None, lambda *_: b"")

        return read

    async def piece_for_runner(self, fetch: pb.Fetch, nodes: dict[str, NodeSession]) -> Callable[[], bytes]:
        """Wait for the piece that ``fetch`` asks for, passed on as it is from the node that has named the buffer."""
        if fetch.node in self._sources.get(fetch.sha256, ()) and fetch.node in nodes:
            source = fetch.node
            fetch.ClearField("node")
            with contextlib.suppress(WireError):
                chunk = await self.inbox.relay(fetch, self._send_to(source, nodes), source)
                data = chunk.data
                chunk.ClearField("data")
                chunk.node = source
                frame = chunk_frame(pb.ConductResponse, chunk, data)
                return lambda: frame
        missing = pb.Chunk(run_id=self.id, sha256=fetch.sha256, offset=fetch.offset, missing=True)
        return lambda: chunk_frame(pb.ConductResponse, missing, b"")

    def close(self) -> None:
        """Forget the run's buffers."""
        self.inbox.cut()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _put_aside(self, task_ids: Iterable[str]) -> None:
        for one in task_ids:
            self._set_aside[one] = self.pending.pop(one)
        while len(self._set_aside) > MAX_PENDING_TASKS:
            self._set_aside.popitem(last=False)

    def _add_source(self, sha256: bytes, source: str) -> None:
        """Note who has named a buffer, and may be asked for it."""
        self._sources.setdefault(sha256, set()).add(source)
        self._sources.move_to_end(sha256)
        while len(self._sources) > MAX_SOURCES:
            oldest, _ = self._sources.popitem(last=False)
            self._sizes.pop(oldest, None)

    def _send_to(self, node: str, nodes: dict[str, NodeSession]) -> SendFetch:
        async def send(fetch: pb.Fetch) -> None:
            if node == RUNNER:
                self.runner.send(pb.ConductResponse(fetch=fetch))
            elif node in nodes:
                nodes[node].send(pb.ConnectResponse(fetch=fetch))
            else:
                raise WireError("The node that has the buffer is not connected.")

        return send
