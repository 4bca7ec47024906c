"""The runs that this node takes part in: deciding on them, and carrying out their tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from datalab.audit.log import AuditLog
from datalab.errors import DatalabError, IdentityError, RefusedError
from datalab.home import Home
from federation.errors import FederationError, WireError
from federation.node.config import NodeConfig
from federation.node.policy import HeldDataset, check_action, check_still_permitted, decide
from federation.node.run import NodeRun
from federation.node.trust import GatewayTrust
from federation.node.worker import WorkerLostError
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder, Role
from federation.pki.keys import Credentials
from federation.pki.seal import HEAD, HEAD_SEEN, OFFER, Sealer, check_seal
from federation.wire.protocol import MAX_REASON, check_run_id
from federation.wire.sealed import head_document, head_evidence, offer_document

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

log = structlog.get_logger()

Send = Callable[[pb.ConnectRequest], Awaitable[None]]
NODE_FAILED = "The node could not do this; its own log says why."


class Runs:
    """Decides on offers and carries out tasks.

    Args:
        node: this node's name.
        home: the node's home.
        config: its ``node.toml``.
        held: its datasets.
        keys: public keys whose permits count here.
        audit: the node's own audit log.
        trust: what is known of the gateway, and who is revoked.
        credentials: returns the node's present credentials.
    """

    def __init__(
        self,
        node: str,
        home: Home,
        config: NodeConfig,
        held: Sequence[HeldDataset],
        keys: Sequence[OKPKey],
        audit: AuditLog,
        trust: GatewayTrust,
        credentials: Callable[[], Credentials],
    ) -> None:
        self._node = node
        self._home = home
        self._config = config
        self._held = held
        self._keys = keys
        self._audit = audit
        self._trust = trust
        self._credentials = credentials
        self._runs: dict[str, NodeRun] = {}
        # Serial numbers of the certificates with which the runners of these runs have signed.
        self._runners: dict[str, str] = {}
        self._stopping = False

    def get(self, run_id: str) -> NodeRun | None:
        """Return an accepted run."""
        return self._runs.get(run_id)

    def names(self) -> tuple[str, ...]:
        """Return the ids of the accepted runs."""
        return tuple(sorted(self._runs))

    def stop(self) -> None:
        """Take nothing new from now on."""
        self._stopping = True

    async def consider(self, offer: pb.Offer, send: Send) -> None:
        """Decide on an offered run, and start its worker if it is allowed; the lab is told which it was, and why.

        The decision is in the audit log before any of the app's code is here. An offer that is repeated (after a
        reconnection) must be the same in every word.
        """
        decision = pb.Decision(run_id=check_run_id(offer.run_id), node=self._node, code=pb.DECISION_CODE_ACCEPTED)
        known, started = self._runs.get(offer.run_id), False
        try:
            if known is None:
                self._runs[offer.run_id] = known = self._approve(offer)
                self._record_decision(decision, offer)
            elif not _same(known.offer, offer):
                raise RefusedError("This run is known here with another offer; a run does not change.")
            started = known.started
            await known.ready(lambda fetch: send(pb.ConnectRequest(fetch=fetch)))
        except RefusedError as error:
            decision.code, decision.reason = pb.DECISION_CODE_REFUSED, str(error)[:MAX_REASON]
            self._record_decision(decision, offer)
        except Exception as error:
            log.error("run could not be prepared", run=offer.run_id, exc_info=error)
            said = error.what if isinstance(error, DatalabError) else NODE_FAILED
            decision.code, decision.reason = pb.DECISION_CODE_FAILED, said[:MAX_REASON]
            self._record_decision(decision, offer)
            await self._drop(offer.run_id)
        self._countersign(decision.countersignature, offer.audit_head)
        decision.audit_head.CopyFrom(self._signed_head())
        await send(pb.ConnectRequest(decision=decision))
        if decision.code == pb.DECISION_CODE_ACCEPTED and known is not None and not started:
            self._audit.append("worker started", run=offer.run_id, confined_by=known.confinement)

    async def carry_out(self, task: pb.Task, send: Send) -> None:
        """Run a task through the app, and send its reply or a typed error."""
        try:
            reply = await self._reply(task, send)
        except RefusedError as error:
            reply = _error(task, pb.TASK_ERROR_CODE_REFUSED, error.what)
        except (WorkerLostError, WireError) as error:
            reply = _error(task, pb.TASK_ERROR_CODE_WORKER_LOST, error.what)
        except Exception as error:
            log.error("task failed", run=task.run_id, task=task.task_id, exc_info=error)
            reply = _error(task, pb.TASK_ERROR_CODE_WORKER_LOST, NODE_FAILED)
        self._audit.append(
            "task done",
            run=task.run_id,
            task=task.task_id,
            type=task.message_type,
            group=task.group_id,
            result=pb.TaskErrorCode.Name(reply.error.code) if reply.WhichOneof("result") == "error" else "replied",
        )
        await send(pb.ConnectRequest(reply=reply))

    async def end(self, end: pb.RunEnd, send: Send) -> None:
        """End a run's worker, forget its buffers, and exchange last audit heads with the lab."""
        if not await self._drop(end.run_id):
            return
        self._audit.append(
            "run ended",
            run=end.run_id,
            outcome=end.outcome[:20],
            lab_head=self._checked_head(end.audit_head),
            own_head_seen=self._receipt(end.countersignature),
        )
        closed = pb.RunClosed(run_id=end.run_id, audit_head=self._signed_head())
        self._countersign(closed.countersignature, end.audit_head)
        await send(pb.ConnectRequest(run_closed=closed))

    async def end_revoked(self, revoked: Collection[str]) -> None:
        """End every run whose runner's certificate has been revoked."""
        for run_id in [run_id for run_id, serial in self._runners.items() if serial in revoked]:
            if await self._drop(run_id):
                self._audit.append("run ended", run=run_id, outcome="runner revoked")

    def note_refused(self, refused: pb.ReplyRefused) -> None:
        """Write down that the lab refused a reply of this node."""
        if refused.run_id in self._runs:
            self._audit.append(
                "reply refused by the lab",
                run=refused.run_id,
                task=refused.task_id[:64],
                reason=refused.reason[:MAX_REASON],
            )

    async def keep_only(self, open_runs: Collection[str]) -> None:
        """End every run that the gateway no longer knows: it ended while this node was not connected."""
        for run_id in self._runs.keys() - set(open_runs):
            if await self._drop(run_id):
                self._audit.append("run ended", run=run_id, outcome="lost")

    def cut(self) -> None:
        """Stop transfers: the connection is gone; what has arrived stays."""
        for run in self._runs.values():
            run.inbox.cut()

    async def close(self) -> None:
        """End every run's worker."""
        for run_id in list(self._runs):
            await self._drop(run_id)

    def _approve(self, offer: pb.Offer) -> NodeRun:
        if self._stopping:
            raise FederationError("This node is being stopped.")
        if len(self._runs) >= self._config.resources.concurrent_runs:
            raise FederationError("This node is busy: as many runs as its configuration allows are open.")
        runner = self._check_runner(offer)
        revocations = self._revocations()
        approval = decide(offer, self._config, self._held, self._keys, datetime.now(UTC), revocations)
        self._runners[offer.run_id] = runner.serial
        return NodeRun(self._node, offer, approval, self._config, self._home)

    def _check_runner(self, offer: pb.Offer) -> Holder:
        """Return the runner that has signed this very offer; a gateway cannot make one up."""
        if not offer.runner_signature:
            raise RefusedError("The offer is not signed by the run's runner.", next_step="Upgrade the lab.")
        try:
            runner = check_seal(
                offer.runner_signature,
                OFFER,
                offer_document(offer, self._node),
                chain_pem=offer.runner_chain_pem,
                trust_pem=self._credentials().trust_pem,
                role=Role.RUNNER,
                now=datetime.now(UTC),
                revoked=self._trust.revoked,
            )
        except IdentityError as error:
            raise RefusedError(f"The offer is not by a runner of this federation: {error.what}") from error
        if runner.identity.name != offer.run_id:
            raise RefusedError("The offer is signed by the runner of another run.")
        return runner

    def _revocations(self) -> str | None:
        """Read the list of revoked permits, anew each time: it is replaced while the agent runs."""
        name = self._config.policy.revocations
        try:
            return None if name is None else (self._home.path / name).read_text(encoding="ascii")
        except OSError as error:
            raise RefusedError("The list of revoked permits cannot be read at this node.") from error

    async def _reply(self, task: pb.Task, send: Send) -> pb.Reply:
        run = self._runs.get(task.run_id)
        if run is None or not run.started:
            raise RefusedError("This node does not take part in that run.")
        if self._stopping:
            raise RefusedError("This node is being stopped.")
        check_action(run.approval, task.message_type)
        check_still_permitted(run.approval, datetime.now(UTC))
        seconds = min(task.ttl, self._config.resources.task_seconds)
        return await run.carry_out(task, seconds, lambda fetch: send(pb.ConnectRequest(fetch=fetch)))

    async def _drop(self, run_id: str) -> bool:
        self._runners.pop(run_id, None)
        run = self._runs.pop(run_id, None)
        if run is not None:
            await run.close()
        return run is not None

    def _record_decision(self, decision: pb.Decision, offer: pb.Offer) -> None:
        self._audit.append(
            "run decided",
            run=offer.run_id,
            decision=pb.DecisionCode.Name(decision.code),
            reason=decision.reason,
            app=offer.app_sha256.hex(),
            dataset=offer.dataset,
            version=offer.dataset_version,
            purpose=offer.purpose,
            runner=self._runners.get(offer.run_id, ""),
            lab_head=self._checked_head(offer.audit_head),
        )

    def _owner(self) -> str:
        return str(self._credentials().holder.identity)

    def _signed_head(self) -> pb.AuditHead:
        """Return where this node's log stands, signed by the node."""
        at = self._audit.head()
        head = pb.AuditHead(number=at.n, hash=at.hash)
        head.signature = Sealer(self._credentials()).seal(HEAD, head_document(self._owner(), head))
        return head

    def _countersign(self, receipt: pb.Countersignature, head: pb.AuditHead) -> None:
        """Sign that this node has been shown the lab's head."""
        if head.hash and self._trust.gateway:
            receipt.head.CopyFrom(head)
            receipt.signature = Sealer(self._credentials()).seal(HEAD_SEEN, head_document(self._trust.gateway, head))

    def _checked_head(self, head: pb.AuditHead) -> dict[str, Any]:
        """Return the lab's head for this node's log; ``genuine`` says whether the gateway has signed it."""
        genuine = self._by_gateway(head.signature, HEAD, head_document(self._trust.gateway, head))
        return head_evidence(head, head.signature, genuine=genuine, owner=self._trust.gateway)

    def _receipt(self, receipt: pb.Countersignature) -> dict[str, Any]:
        """Return the lab's signature over a head of this node, for this node's log."""
        genuine = self._by_gateway(receipt.signature, HEAD_SEEN, head_document(self._owner(), receipt.head))
        return head_evidence(receipt.head, receipt.signature, genuine=genuine, by=self._trust.gateway)

    def _by_gateway(self, signature: bytes, context: str, document: dict[str, Any]) -> bool:
        try:
            check_seal(
                signature,
                context,
                document,
                chain_pem=self._trust.gateway_chain,
                trust_pem=self._credentials().trust_pem,
                role=Role.GATEWAY,
                now=datetime.now(UTC),
                revoked=self._trust.revoked,
            )
        except IdentityError:
            return False
        return True


def announcement(dataset: HeldDataset) -> pb.DatasetAnnouncement:
    """Return what the node says about a dataset: schema and permitted counts."""
    return pb.DatasetAnnouncement(
        id=dataset.entry.id,
        version=dataset.entry.version,
        report_json=dataset.report_json,
        held_here=not dataset.entry.in_lab,
    )


def _same(known: pb.Offer, offer: pb.Offer) -> bool:
    """Whether two offers ask for the same; the lab's audit head moves on between them."""
    again = pb.Offer()
    again.CopyFrom(offer)
    again.audit_head.CopyFrom(known.audit_head)
    return bool(again == known)


def _error(task: pb.Task, code: pb.TaskErrorCode, message: str) -> pb.Reply:
    return pb.Reply(run_id=task.run_id, task_id=task.task_id, error=pb.TaskError(code=code, message=message))
