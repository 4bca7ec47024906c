"""Routes frames between the connected nodes and the runs that they take part in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import grpc.aio
import structlog

from datalab.audit.chain import Head
from federation.errors import WireError
from federation.gateway.run import NodeSession, Run, RunnerSession
from federation.gateway.session import Session
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder
from federation.wire.protocol import (
    MAX_DATASETS,
    MAX_REASON,
    PROTOCOL_MAJOR,
    PROTOCOL_MINOR,
    check_version,
)

log = structlog.get_logger()

Announce = Callable[[str, pb.DatasetAnnouncement], Awaitable[None]]


class Record(Protocol):
    """Writes one event to the gateway's audit log."""

    def __call__(self, event: str, **details: Any) -> Head:
        """Append ``event`` and return where the chain stands then."""
        ...


class Hub:
    """The nodes that are connected and the runs that are open.

    Args:
        folder: where buffers are relayed through.
        announce: tells the catalog about a dataset that a node announced.
        record: the gateway's audit log.
    """

    def __init__(self, folder: Path, announce: Announce, record: Record) -> None:
        self.nodes: dict[str, NodeSession] = {}
        self.runs: dict[str, Run] = {}
        self._folder = folder
        self._announce = announce
        self._record = record

    def sessions(self) -> list[Session[Any, Any]]:
        """Return every live stream."""
        return [*self.nodes.values(), *(run.runner for run in self.runs.values())]

    async def connect(
        self,
        holder: Holder,
        requests: AsyncIterator[pb.ConnectRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Serve a node's stream from its hello to its end.

        Raises:
            VersionError: the node speaks another protocol.
            WireError: the first frame is not a hello that this gateway takes.
        """
        hello = (await anext(requests)).hello
        check_version(hello.protocol_major, hello.protocol_minor)
        if len(hello.datasets) > MAX_DATASETS:
            raise WireError(f"A node announces at most {MAX_DATASETS} datasets.")
        name, session = holder.identity.name, NodeSession(holder)
        if (before := self.nodes.get(name)) is not None:
            before.cut(WireError("The node has connected again."))
            self._lose(name)
        self.nodes[name] = session
        announcing = asyncio.create_task(self._announce_all(name, list(hello.datasets)))
        try:
            self._record("node connected", node=name, software=hello.software[:64], datasets=len(hello.datasets))
            self._welcome(name, session)
            await session.serve(requests, context, lambda frame: self._from_node(session, frame))
        finally:
            announcing.cancel()
            if self.nodes.get(name) is session:
                del self.nodes[name]
                self._record("node disconnected", node=name)
                self._lose(name)

    def _welcome(self, name: str, session: NodeSession) -> None:
        """Greet a node, and offer it the runs that it takes part in (again, if it was away)."""
        welcome = pb.NodeWelcome(protocol_major=PROTOCOL_MAJOR, protocol_minor=PROTOCOL_MINOR, node=name)
        runs = [run for run in self.runs.values() if name in run.places]
        welcome.open_runs.extend(run.id for run in runs)
        session.send(pb.ConnectResponse(welcome=welcome))
        for run in runs:
            run.places[name].decided = False
            session.send(pb.ConnectResponse(offer=run.places[name].offer))

    def _lose(self, name: str) -> None:
        """Have the runs that a node takes part in go on without it: its waiting tasks are answered with an error."""
        for run in self.runs.values():
            if name in run.places:
                run.lose(name)

    async def _announce_all(self, name: str, announcements: list[pb.DatasetAnnouncement]) -> None:
        """Tell the catalog; it may be slow or away, and the node is not held up by it."""
        for announcement in announcements:
            await self._announce(name, announcement)

    async def conduct(
        self,
        holder: Holder,
        requests: AsyncIterator[pb.ConductRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Serve a runner's stream: one run.

        Raises:
            WireError: the first frame does not open a run of this runner's own name.
        """
        session = RunnerSession(holder)
        run = Run((await anext(requests)).open, session, self._folder)
        if run.id != holder.identity.name or run.id in self.runs:
            raise WireError("A runner conducts the one run that its certificate names, once at a time.")
        self.runs[run.id] = run
        head = self._record("run opened", run=run.id, nodes=sorted(run.places))
        run.set_head(head)
        for name, place in run.places.items():
            if name in self.nodes:
                self.nodes[name].send(pb.ConnectResponse(offer=place.offer))
        try:
            await session.serve(requests, context, lambda frame: self._from_runner(run, frame))
        finally:
            del self.runs[run.id]
            head = self._record("run closed", run=run.id, outcome=run.end.outcome[:20])
            run.end.audit_head.CopyFrom(pb.AuditHead(number=head.n, hash=head.hash))
            for name in run.places.keys() & self.nodes.keys():
                self.nodes[name].send(pb.ConnectResponse(run_end=run.end))
            run.close()

    async def _from_node(self, session: NodeSession, request: pb.ConnectRequest) -> None:
        kind = request.WhichOneof("frame")
        frame = getattr(request, kind) if kind else None
        name = session.identity.name
        run = self.runs.get(getattr(frame, "run_id", ""))
        if run is None or name not in run.places:
            # The run may have ended a moment ago; anything else is refused without a word about other runs.
            log.info("frame for a run that is not open", node=name, frame=kind)
            return
        run.places[name].traffic.from_node += request.ByteSize()
        match frame:
            case pb.Decision():
                if run.places[name].decided:
                    raise WireError("A node decides once on a run, each time that it is offered.")
                run.places[name].decided = True
                frame.reason = frame.reason[:MAX_REASON]
                self._record(
                    "node decided",
                    run=run.id,
                    node=name,
                    decision=pb.DecisionCode.Name(frame.code),
                    reason=frame.reason,
                    node_head={"n": frame.audit_head.number, "hash": frame.audit_head.hash[:64]},
                )
                frame.node, frame.identity = name, str(session.identity)
                run.runner.send(pb.ConductResponse(decision=frame))
            case pb.Reply():
                try:
                    run.accept_reply(frame, name)
                except WireError as error:
                    self._record("reply refused", run=run.id, node=name, reason=str(error))
                    return
                run.runner.send(pb.ConductResponse(reply=frame))
            case pb.Fetch():
                session.answer(frame, lambda fetch: self._chunk_for_node(run, name, fetch))
            case pb.Chunk():
                run.inbox.accept(frame)
            case _:
                raise WireError("A node sends decisions, replies, fetches and chunks after its hello.")

    async def _from_runner(self, run: Run, request: pb.ConductRequest) -> None:
        match getattr(request, request.WhichOneof("frame") or "", None):
            case pb.Task() as task:
                run.accept_task(task)
                if task.node not in self.nodes:
                    run.lose(task.node)
                    return
                frame = pb.ConnectResponse(task=task)
                run.places[task.node].traffic.to_node += frame.ByteSize()
                self.nodes[task.node].send(frame)
            case pb.Fetch() as fetch:
                run.runner.answer(fetch, lambda one: self._chunk_for_runner(run, one))
            case pb.Chunk() as chunk:
                run.inbox.accept(chunk)
            case pb.RunEnd() as end:
                run.end = end
            case _:
                raise WireError("A runner sends tasks, fetches, chunks and the run's end after its opening.")

    async def _chunk_for_node(self, run: Run, name: str, fetch: pb.Fetch) -> pb.ConnectResponse:
        frame = pb.ConnectResponse(chunk=await run.read(fetch, self.nodes, by_node=True))
        run.places[name].traffic.to_node += frame.ByteSize()
        return frame

    async def _chunk_for_runner(self, run: Run, fetch: pb.Fetch) -> pb.ConductResponse:
        return pb.ConductResponse(chunk=await run.read(fetch, self.nodes, by_node=False))
