"""Routes frames between the connected nodes and the runs that they take part in."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc.aio
import structlog

from datalab.audit.chain import Head
from datalab.errors import DatalabError
from federation.errors import WireError
from federation.gateway.figures import Counted
from federation.gateway.identity import GatewayIdentity
from federation.gateway.presence import Presence, Record
from federation.gateway.run import STALLED, NodeSession, Run, RunnerSession
from federation.gateway.session import Session
from federation.gateway.witness import Witness
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder, Role
from federation.pki.registry import expired_error, revoked_error
from federation.wire.frames import frame_of
from federation.wire.protocol import (
    INTERRUPTED,
    MAX_DATASETS,
    MAX_NONCE,
    MAX_REASON,
    MAX_REFUSED,
    MAX_WAITING_BYTES,
    PROTOCOL_MAJOR,
    PROTOCOL_MINOR,
    check_offset,
    check_version,
    first_of,
)
from federation.wire.pulse import Patience
from federation.wire.sealed import certificate_evidence

log = structlog.get_logger()

MAX_CLOSING = 10_000
"""Last words of nodes on runs that are waited for; the oldest are given up."""

Announce = Callable[[str, pb.DatasetAnnouncement], Awaitable[None]]


class Hub:
    """The nodes that are connected and the runs that are open.

    Args:
        folder: where buffers are relayed through.
        announce: tells the catalog about a dataset that a node announced.
        record: the gateway's audit log.
        gateway: signs for this gateway, and knows who is revoked.

    Attributes:
        counted: what has passed through.
    """

    def __init__(self, folder: Path, announce: Announce, record: Record, gateway: GatewayIdentity) -> None:
        self.counted = Counted()
        self.nodes: dict[str, NodeSession] = {}
        self.runs: dict[str, Run] = {}
        # Streams that a newer one of the same node continues; they are read and written to their end.
        self._former: dict[str, NodeSession] = {}
        self._patience: defaultdict[str, Patience] = defaultdict(Patience)
        # Nodes whose last word on a run that has ended is still to come, and the head that they were shown.
        self._closing: OrderedDict[tuple[str, str], pb.AuditHead] = OrderedDict()
        # Serial numbers of the nodes' certificates that are in the audit log.
        self._noted: set[str] = set()
        self._permit_lists: list[pb.ConnectResponse] = []
        self._folder = folder
        self._announce = announce
        self._write = record
        self._at = Head()
        self._gateway = gateway
        self._witness = Witness(gateway)
        self._presence = Presence(self._record)

    def close(self) -> None:
        """Write down what is not written yet: the gateway ends."""
        self._presence.close()

    def _record(self, event: str, **details: Any) -> Head:
        self._at = self._write(event, **details)
        return self._at

    def sessions(self) -> list[Session[Any, Any]]:
        """Return every live stream."""
        runners = (one for run in self.runs.values() for one in (run.former, run.runner) if one is not None)
        return [*self.nodes.values(), *self._former.values(), *runners]

    def cut_ended(self, now: datetime) -> None:
        """End the streams of whoever has been revoked, whose certificate has expired, or who takes nothing."""
        for session in self.sessions():
            session.check_taking()
            holder = session.holder
            if holder.serial in self._gateway.revoked:
                revoked = {one.serial: one.revoked for one in self._gateway.revocations.certificates}
                reason = revoked_error(holder.identity, revoked[holder.serial])
                session.cut(reason)
                if self.nodes.get(holder.identity.name) is session:  # its stream may take a moment to end
                    self._lose(holder.identity.name, final=reason.what)
            elif holder.expires <= now:
                session.cut(expired_error(holder))

    def cut_all(self, reason: DatalabError) -> None:
        """End every stream."""
        for session in self.sessions():
            session.cut(reason)

    def pass_time(self, seconds: float) -> None:
        """Say to everybody that the gateway is there; end the streams of which nothing is heard any more."""
        gone = {run.runner for run in self.runs.values() if run.giving_up is not None}
        for session in self.sessions():
            if session not in gone and session.pass_time(seconds):
                log.warning("a line is silent", peer=str(session.identity))
                if self.nodes.get(name := session.identity.name) is session:  # its stream may not end for long
                    self._forget(name)

    def tell_permit_revocations(self, lists: Sequence[str]) -> None:
        """Send every node the signed lists of revoked permits, now and whenever one connects."""
        self._permit_lists = [pb.ConnectResponse(permit_revocations=pb.PermitRevocations(token=one)) for one in lists]
        for session in self.nodes.values():
            for frame in self._permit_lists:
                session.send(frame)

    def tell_revocations(self) -> None:
        """Send every node the new list of revoked certificates."""
        frame = pb.ConnectResponse(revocations=self._gateway.revocation_list())
        for session in self.nodes.values():
            session.send(frame)

    def list_sessions(self) -> pb.ListSessionsResponse:
        """Return who is connected."""
        runs: dict[str, list[str]] = {}
        for run in self.runs.values():
            for name in run.places:
                runs.setdefault(name, []).append(run.id)
        answer = pb.ListSessionsResponse()
        for session in self.sessions():
            name = session.identity.name
            answer.sessions.add(
                identity=str(session.identity),
                serial=session.holder.serial,
                connected=session.connected,
                last_seen=session.last_seen,
                certificate_expires=session.holder.expires.timestamp(),
                software=session.software,
                runs=sorted(runs.get(name, [])) if session.identity.role is Role.NODE else [name],
                privacy_left=session.privacy_left,
            )
        return answer

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
        hello = (await first_of(requests)).hello
        check_version(hello.protocol_major, hello.protocol_minor)
        if len(hello.datasets) > MAX_DATASETS:
            raise WireError(f"A node announces at most {MAX_DATASETS} datasets.")
        name = holder.identity.name
        session = NodeSession(holder, self._patience[name])
        session.beat = (lambda: pb.ConnectResponse(beat=pb.Beat())) if hello.beats else None
        self._patience[name].back()
        session.software = hello.software[:64]
        for one in hello.datasets:
            session.note_privacy(one.id, one)
        (session.certificate,) = context.auth_context()["x509_pem_cert"]
        continues = hello.continues and name in self.nodes
        if (before := self.nodes.get(name)) is not None:
            self._replace(name, before, continues=continues)
        self.nodes[name] = session
        announcing = asyncio.create_task(self._announce_all(name, list(hello.datasets)))
        try:
            self._note_certificate(session, context)
            self._presence.come(name, software=session.software, datasets=len(hello.datasets))
            self._welcome(name, session, hello.nonce[:MAX_NONCE], continues=continues)
            await session.serve(requests, context, lambda frame: self._from_node(session, frame))
        finally:
            announcing.cancel()
            if self._former.get(name) is session:
                del self._former[name]
            if self.nodes.get(name) is session:
                self._forget(name)

    def _forget(self, name: str) -> None:
        """Take note that a node's stream has ended, or is given up."""
        session = self.nodes.pop(name)
        self._presence.go(name, for_good=session.is_cut and not session.fell_silent)
        self._lose(name)

    def _note_certificate(self, session: NodeSession, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Write down with which certificate a node signs, once: an auditor checks its heads with it."""
        if session.holder.serial not in self._noted:
            self._noted.add(session.holder.serial)
            (others,) = context.auth_context()["x509_pem_cert_chain"]  # those above the node's own
            self._record("certificate seen", **certificate_evidence(session.holder, session.certificate + others))

    def _replace(self, name: str, before: NodeSession, *, continues: bool) -> None:
        """Have a node's new stream take the place of the one before.

        One that is continued loses nothing: what waits there is still sent, and the node closes it when it is ready.
        """
        if not continues:
            before.cut(WireError("The node has connected again."))
            self._lose(name)
            return
        if (oldest := self._former.get(name)) is not None:
            oldest.cut(WireError("The node has continued this stream twice."))
        self._former[name] = before

    def _welcome(self, name: str, session: NodeSession, nonce: bytes, *, continues: bool) -> None:
        """Greet a node, and offer it the runs that it takes part in (again, if it was away)."""
        welcome = pb.NodeWelcome(protocol_major=PROTOCOL_MAJOR, protocol_minor=PROTOCOL_MINOR, node=name)
        runs = [run for run in self.runs.values() if name in run.places]
        welcome.open_runs.extend(run.id for run in runs)
        self._gateway.prove(welcome, str(session.identity), nonce)
        session.send(pb.ConnectResponse(welcome=welcome))
        for frame in self._permit_lists:
            session.send(frame)
        for run in () if continues else runs:
            run.places[name].decided = False
            self._offer(run, name)

    def _lose(self, name: str, final: str = "") -> None:
        """Tell the runs that a node takes part in that it is gone, and why if it does not come back."""
        for run in self.runs.values():
            if name in run.places:
                run.lose(name, final)

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
        """Serve a runner's stream: one run, or the rest of one that it continues or takes up again.

        Where the stream ends without a word about the run's end, the run waits a while for its runner.

        Raises:
            WireError: the first frame does not open, or continue, a run of this runner's own name.
        """
        session = RunnerSession(holder)
        first = await first_of(requests)
        opening, session.takes_more = first.open, first.takes_more
        session.beat = (lambda: pb.ConductResponse(beat=pb.Beat())) if opening.beats else None
        run = self._continue(opening, session) if opening.continues else self._open(opening, session)
        away = False
        try:
            await session.serve(requests, context, lambda frame: self._from_runner(run, frame))
            away = True
        except BaseException as error:
            away = isinstance(error, asyncio.CancelledError) or session.fell_silent  # its connection is gone
            if run.former is session:  # what waited there is lost, and somebody may wait for it
                run.runner.cut(WireError("The stream that the run's runner had continued was cut."))
            raise
        finally:
            if run.former is session:
                run.former = None
            if run.runner is session and away and not run.ended:
                self._wait_for_runner(run)
            elif run.runner is session:
                del self.runs[run.id]
                self._end(run)

    def _wait_for_runner(self, run: Run) -> None:
        """Keep a run whose runner has gone without a word, and give it up if the runner is not back in time."""

        def give_up() -> None:
            del self.runs[run.id]
            run.end.outcome = INTERRUPTED
            self._end(run)

        self._record("runner away", run=run.id)
        run.runner_away()
        run.giving_up = asyncio.get_running_loop().call_later(run.grace, give_up)

    def _open(self, opening: pb.RunOpen, session: RunnerSession) -> Run:
        """Open a run, or go on with one that its runner takes up again, and offer it to its nodes."""
        if opening.run_id != session.identity.name:
            raise WireError("A runner conducts the one run that its certificate names.")
        if (run := self.runs.get(opening.run_id)) is not None:
            before = [one for one in (run.former, run.runner) if one is not None]
            run.take_up(opening, session)
            for one in before:
                one.cut(WireError("The run's runner has connected again."))
            self._record("runner back", run=run.id, serial=session.holder.serial)
        else:
            run = self.runs[opening.run_id] = Run(opening, session, self._folder)
            self._record("run opened", run=run.id, nodes=sorted(run.places))
        for name in run.places.keys() & self.nodes.keys():
            self._offer(run, name)
        return run

    def _offer(self, run: Run, name: str) -> None:
        """Offer a node its part in a run, with the newest head of the gateway's log for its own."""
        offer = run.places[name].offer
        offer.audit_head.CopyFrom(self._witness.signed(self._at))
        self.nodes[name].send(pb.ConnectResponse(offer=offer))

    def _continue(self, opening: pb.RunOpen, session: RunnerSession) -> Run:
        """Have a runner's new stream take the place of the one before, and tell its nodes who it is now."""
        run = self.runs.get(session.identity.name)
        if run is None or opening.run_id != run.id:
            raise WireError("This runner has no open run that it could continue.")
        if run.former is not None:
            raise WireError("The stream that this run was on before has not ended yet.")
        self._record("runner renewed", run=run.id, serial=session.holder.serial)
        run.former, run.runner = (run.runner if run.giving_up is None else None), session
        run.runner_back()
        session.send(pb.ConductResponse(continued=pb.RunContinued()))
        for name, signed in ((place.node, place.offer) for place in opening.places if place.node in run.places):
            offer = run.places[name].offer
            offer.runner_signature, offer.runner_chain_pem = signed.runner_signature, signed.runner_chain_pem
            renewed = pb.RunnerRenewed(
                run_id=run.id, runner_signature=offer.runner_signature, runner_chain_pem=offer.runner_chain_pem
            )
            if name in self.nodes:
                self.nodes[name].send(pb.ConnectResponse(runner_renewed=renewed))
        return run

    def _end(self, run: Run) -> None:
        """Tell a run's nodes that it has ended; each gets a signature over the head that it has shown, to keep."""
        head = self._witness.signed(self._record("run closed", run=run.id, outcome=run.end.outcome[:20]))
        for name in sorted(run.places.keys() & self.nodes.keys()):
            end = pb.RunEnd(run_id=run.id, outcome=run.end.outcome, audit_head=head)
            if (shown := run.places[name].head) is not None:
                self._witness.countersign(end.countersignature, self.nodes[name], shown)
            self.nodes[name].send(pb.ConnectResponse(run_end=end))
            self._closing[run.id, name] = head
            while len(self._closing) > MAX_CLOSING:
                self._closing.popitem(last=False)
        if run.former is not None:
            run.former.cut(WireError("The run has ended."))
        self.counted.end(run.id, [place.traffic for place in run.places.values()])
        run.close()

    def _closed(self, session: NodeSession, closed: pb.RunClosed) -> None:
        """Write a node's last head of a run, and its signature over the gateway's, into the gateway's log."""
        shown = self._closing.pop((closed.run_id, session.identity.name), None)
        if shown is not None:
            self._record(
                "node closed run",
                run=closed.run_id,
                node=session.identity.name,
                node_head=self._witness.checked_head(session, closed.audit_head),
                own_head_seen=self._witness.checked_receipt(session, closed.countersignature, shown),
            )

    async def _from_node(self, session: NodeSession, request: pb.ConnectRequest) -> None:
        kind = request.WhichOneof("frame")
        frame = getattr(request, kind) if kind else None
        name = session.identity.name
        if isinstance(frame, pb.RunClosed):
            self._closed(session, frame)
            return
        run = self.runs.get(getattr(frame, "run_id", ""))
        if run is None or name not in run.places:
            # The run may have ended a moment ago; anything else is refused without a word about other runs.
            session.strays += 1
            if session.strays & (session.strays - 1) == 0:  # the first, second, fourth, eighth …
                log.info("frame for a run that is not open", node=name, frame=kind, so_far=session.strays)
            return
        run.places[name].traffic.from_node += request.ByteSize()
        match frame:
            case pb.Decision():
                if frame.code not in pb.DecisionCode.values():
                    raise WireError("A node's decision has a code that is not one.")
                if run.places[name].decided:
                    raise WireError("A node decides once on a run, each time that it is offered.")
                place = run.places[name]
                place.decided, place.head = True, frame.audit_head
                frame.reason = frame.reason[:MAX_REASON]
                session.note_privacy(place.offer.dataset, frame)
                frame.ClearField("privacy_left")  # the lab's to know, and not the run's
                self._record(
                    "node decided",
                    run=run.id,
                    node=name,
                    decision=pb.DecisionCode.Name(frame.code),
                    reason=frame.reason,
                    node_head=self._witness.checked_head(session, frame.audit_head, again=True),
                    own_head_seen=self._witness.checked_receipt(
                        session, frame.countersignature, place.offer.audit_head
                    ),
                )
                frame.node, frame.identity = name, str(session.identity)
                run.runner.send(pb.ConductResponse(decision=frame, takes_more=True))
            case pb.Reply():
                self._accept_reply(run, frame, name)
            case pb.Fetch():
                check_offset(frame.offset)
                session.answer(frame, lambda fetch: self._chunk_for_node(run, name, fetch))
            case pb.Chunk():
                check_offset(frame.offset)
                run.inbox.accept(frame, name)
            case _:
                raise WireError("A node sends decisions, replies, fetches and chunks after its hello.")

    async def _from_runner(self, run: Run, request: pb.ConductRequest) -> None:
        for one in (request, *request.more):
            self._handle_runners(run, one)

    def _handle_runners(self, run: Run, request: pb.ConductRequest) -> None:
        match getattr(request, request.WhichOneof("frame") or "", None):
            case pb.Task() as task:
                run.accept_task(task)
                self.counted.task(task)
                self._pass_on(run, task)
            case pb.Fetch() as fetch:
                check_offset(fetch.offset)
                run.runner.answer(fetch, lambda one: run.piece_for_runner(one, self.nodes))
            case pb.Chunk() as chunk:
                check_offset(chunk.offset)
                run.inbox.accept(chunk)
            case pb.RunEnd() as end:
                run.end, run.ended = end, True
            case pb.ReplyRefused() as refused:
                self._refused(run, refused)
            case _:
                raise WireError("A runner sends tasks, fetches, chunks and the run's end after its opening.")

    def _pass_on(self, run: Run, task: pb.Task) -> None:
        """Send a node its task, or answer for a node that is not there or does not take what it was sent before."""
        if (session := self.nodes.get(task.node)) is None:
            run.lose(task.node)
        elif session.waiting_bytes > MAX_WAITING_BYTES:
            run.answer_for(task.task_id, task.node, STALLED)
        else:
            frame = frame_of(pb.ConnectResponse, "task", task)
            run.places[task.node].traffic.to_node += len(frame)
            session.send(frame)

    def _accept_reply(self, run: Run, reply: pb.Reply, node: str) -> None:
        """Pass a reply on; one that is refused is answered for at once, so that nobody waits for it."""
        try:
            if not run.accept_reply(reply, node):
                return
        except WireError as error:
            refused = pb.ReplyRefused(run_id=run.id, task_id=reply.task_id[:64], node=node, reason=error.what)
            self._refused(run, refused)
            run.answer_for(reply.task_id, node, pb.TaskError(code=pb.TASK_ERROR_CODE_BAD_REPLY, message=error.what))
            return
        self.counted.reply(reply)
        run.runner.send(frame_of(pb.ConductResponse, "reply", reply))

    def _refused(self, run: Run, refused: pb.ReplyRefused) -> None:
        """Write down that a reply was refused, here or by the runner, and let its node know."""
        place, session = run.places.get(refused.node), self.nodes.get(refused.node)
        if place is None:
            raise WireError("A reply is refused of a node outside the run.")
        place.refused += 1
        self.counted.refused += 1
        if place.refused > MAX_REFUSED:  # each is an entry on the disk: no more of them
            if session is not None:
                session.cut(WireError(f"More than {MAX_REFUSED} replies of this node to one run were refused."))
            return
        reason = refused.reason[:MAX_REASON]
        self._record("reply refused", run=run.id, node=refused.node[:63], task=refused.task_id[:64], reason=reason)
        if session is not None:
            session.send(pb.ConnectResponse(reply_refused=refused))

    async def _chunk_for_node(self, run: Run, name: str, fetch: pb.Fetch) -> Callable[[], bytes]:
        read = await run.piece_for_node(fetch)

        def make() -> bytes:
            frame = read()
            run.places[name].traffic.to_node += len(frame)
            return frame

        return make
