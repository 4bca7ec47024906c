"""The runs that this node takes part in: deciding on them, and carrying out their tasks."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from datalab.audit.log import AuditLog
from datalab.errors import NotWritableError, RefusedError
from datalab.home import Home
from datalab.permits.errors import PermitError, Reason
from datalab.permits.lists import FOLDER, RevocationFiles
from federation.errors import BundleError, FederationError, WireError
from federation.node.admission import Admission
from federation.node.config import NodeConfig
from federation.node.facts import Keys
from federation.node.ledger import Ledger
from federation.node.policy import (
    HeldDataset,
    check_action,
    check_not_revoked,
    check_still_permitted,
)
from federation.node.room import FullError, Room
from federation.node.run import NodeRun
from federation.node.tally import Tally
from federation.node.trust import GatewayTrust, UntrustedError, check_runner_current
from federation.node.witness import Witness
from federation.node.worker import WorkerLostError
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder
from federation.pki.keys import Credentials
from federation.sandbox.removal import remove_folder
from federation.wire.exchange import SendFetch
from federation.wire.protocol import INTERRUPTED, MAX_REASON, MAX_TASKS_AT_NODE, check_names, check_run_id
from federation.wire.sealed import same_offer

log = structlog.get_logger()

Send = Callable[[pb.ConnectRequest], Awaitable[None]]
KEPT_SECONDS = 86_400.0
"""How long what a run has recorded is kept while it is not open."""
NODE_FAILED = "The node could not do this; its own log says why."
OFFER_SECONDS = 10.0
"""How long an offer waits for room on a full disk."""


class Runs:
    """Decides on offers and carries out tasks.

    Args:
        node: this node's name.
        home: the node's home.
        config: its ``node.toml``.
        held: its datasets.
        keys: public keys that its policy names.
        audit: the node's own audit log.
        ledger: what runs have used up here.
        trust: what is known of the gateway, and who is revoked.
        credentials: returns the node's present credentials.

    Attributes:
        tally: counts what is decided and done.
    """

    def __init__(
        self,
        node: str,
        home: Home,
        config: NodeConfig,
        held: Sequence[HeldDataset],
        keys: Keys,
        audit: AuditLog,
        ledger: Ledger,
        trust: GatewayTrust,
        credentials: Callable[[], Credentials],
    ) -> None:
        self.tally = Tally()
        self._node = node
        self._home = home
        self._config = config
        self._keys = keys
        self._audit = audit
        self._ledger = ledger
        self._trust = trust
        self._admission = Admission(node, home, config, held, keys, audit, ledger, trust, credentials)
        self._witness = Witness(audit, trust, credentials)
        self._room = Room(home.path)
        self._runs: dict[str, NodeRun] = {}
        # The certificates with which the runners of these runs have signed.
        self._runners: dict[str, Holder] = {}
        self._waiting: Counter[str] = Counter()
        # Tasks that are being carried out, by run and id.
        self._under_way: set[tuple[str, str]] = set()
        self._stopping = False
        # What forgets the runs that are at rest, in time.
        self._forgetting: dict[str, asyncio.Task[None]] = {}
        self._permit_lists = RevocationFiles(home.folder(FOLDER))
        self._forget_old()

    def _forget_old(self) -> None:
        """Forget what an earlier agent has left of runs that have ended, or were not taken up again in time."""
        for folder in self._home.folder("runs").iterdir():
            if self._ledger.has_ended(folder.name):
                remove_folder(folder)
            elif time.time() - folder.stat().st_mtime > KEPT_SECONDS:
                remove_folder(folder)
                self._ledger.end(folder.name)
                self._audit.append("run ended", run=folder.name, outcome="lost")

    def get(self, run_id: str) -> NodeRun | None:
        """Return an accepted run."""
        return self._runs.get(run_id)

    def names(self) -> tuple[str, ...]:
        """Return the ids of the accepted runs that are open at the gateway, as far as this node knows."""
        return tuple(sorted(name for name, run in self._runs.items() if not run.resting))

    def note_connection(self, credentials: Credentials) -> None:
        """Write down who this node and its gateway are on a new stream."""
        self._witness.note_certificates(credentials)

    def stop(self) -> None:
        """Take nothing new from now on."""
        self._stopping = True

    async def consider(self, offer: pb.Offer, send: Send, leave_out: Callable[[], Awaitable[None]]) -> None:
        """Decide on an offered run, and start its worker if it is allowed; the lab is told which it was, and why.

        The decision is in the audit log before any of the app's code is here. An offer that is repeated (after a
        reconnection) must be the same in every word.

        Args:
            offer: of a run.
            send: to the gateway.
            leave_out: takes out of the data whoever has to be, before a run that is new.
        """
        check_names(offer.dataset, offer.purpose)
        decision = pb.Decision(run_id=check_run_id(offer.run_id), node=self._node, code=pb.DECISION_CODE_ACCEPTED)
        known, started = self._runs.get(offer.run_id), False
        lab_head = self._witness.checked_head(offer.audit_head, again=True)
        try:
            if known is None:
                await leave_out()
                await self._room.wait(OFFER_SECONDS)
                known = self._runs.get(offer.run_id)
            if known is None:
                self._runs[offer.run_id] = known = self._approve(offer)
                self._record_decision(decision, offer, lab_head)
            elif not same_offer(known.offer, offer):
                raise RefusedError("This run is known here with another offer; a run does not change.")
            else:
                self._runners[offer.run_id] = self._admission.check_runner(offer)  # it may have renewed its certificate
            started = known.started
            await known.ready(lambda fetch: send(pb.ConnectRequest(fetch=fetch)))
        except RefusedError as error:
            decision.code, decision.reason = pb.DECISION_CODE_REFUSED, str(error)[:MAX_REASON]
            self._record_decision(decision, offer, lab_head)
        except Exception as error:
            log.error("run could not be prepared", run=offer.run_id, exc_info=error)
            said = error.what if isinstance(error, FederationError | BundleError) else NODE_FAILED
            decision.code, decision.reason = pb.DECISION_CODE_FAILED, said[:MAX_REASON]
            try:
                self._record_decision(decision, offer, lab_head)
            except NotWritableError as problem:  # a full disk: nothing is begun, and the lab is told so
                log.error("a decision could not be written down", run=offer.run_id, error=str(problem))
            await self._drop(offer.run_id)
        if (left := self._admission.privacy_left(offer.dataset)) is not None:
            decision.privacy_left = left
        self._witness.countersign(decision.countersignature, offer.audit_head)
        decision.audit_head.CopyFrom(self._witness.signed_head())
        self.tally.decided(decision)
        await send(pb.ConnectRequest(decision=decision))
        if decision.code == pb.DECISION_CODE_ACCEPTED and known is not None and not started:
            self._audit.append("worker started", run=offer.run_id, confined_by=known.confinement)

    def announcements(self) -> list[pb.DatasetAnnouncement]:
        """Return what the node says about its datasets."""
        return self._admission.announcements()

    async def carry_out(self, task: pb.Task, send: Send) -> None:
        """Run a task through the app, and send its reply or a typed error.

        What is not about an open run, or does not fit in an entry, is answered and leaves nothing in the audit log. A
        task that has been answered before gets the same reply again, and one that is under way no second one.
        """
        key = task.run_id, task.task_id
        if key in self._under_way:
            return
        self._under_way.add(key)
        try:
            await self._carry_out(task, send)
        finally:
            self._under_way.discard(key)

    async def _carry_out(self, task: pb.Task, send: Send) -> None:
        again = False
        try:
            self._check_task(task)
        except (RefusedError, WireError) as error:
            reply = _error(task, pb.TASK_ERROR_CODE_REFUSED, error.what)
            self.tally.answered(reply)
            await send(pb.ConnectRequest(reply=reply))
            return
        self._waiting[task.run_id] += 1
        try:
            reply, again = await self._reply(task, send)
        except RefusedError as error:
            reply = _error(task, pb.TASK_ERROR_CODE_REFUSED, error.what)
        except (WorkerLostError, WireError, FullError) as error:
            reply = _error(task, pb.TASK_ERROR_CODE_WORKER_LOST, error.what)
        except Exception as error:
            log.error("task failed", run=task.run_id, task=task.task_id, exc_info=error)
            reply = _error(task, pb.TASK_ERROR_CODE_WORKER_LOST, NODE_FAILED)
        finally:
            self._waiting[task.run_id] -= 1
            self._waiting += Counter()  # forgets what is at zero
        try:
            await self._put_on_record(task, reply, again=again)
        except (NotWritableError, FullError, OSError) as error:
            log.error("a reply could not be put on record", run=task.run_id, task=task.task_id, error=str(error))
            reply = _error(task, pb.TASK_ERROR_CODE_WORKER_LOST, FullError().what)
        self.tally.answered(reply)
        await send(pb.ConnectRequest(reply=reply))

    async def _put_on_record(self, task: pb.Task, reply: pb.Reply, *, again: bool) -> None:
        """Have in the audit log that a task is done, and all that was recorded of it on the disk; wait for room.

        Raises:
            FullError: there was none for as long as the task counts.
        """
        deadline = time.monotonic() + task.ttl
        while True:
            try:
                self._audit.append(
                    "reply sent again" if again else "task done",
                    run=task.run_id,
                    task=task.task_id,
                    type=task.message_type,
                    group=task.group_id,
                    result=pb.TaskErrorCode.Name(reply.error.code)
                    if reply.WhichOneof("result") == "error"
                    else "replied",
                )
                break
            except NotWritableError:
                if self._room.left:
                    raise
                await self._room.wait(deadline - time.monotonic())
        if (run := self._runs.get(task.run_id)) is not None:
            await run.recorded.settled()

    async def end(self, end: pb.RunEnd, send: Send) -> None:
        """End a run's worker, forget its buffers, and exchange last audit heads with the lab.

        Of a run that was interrupted at the lab, and may go on, what was recorded stays.
        """
        interrupted = end.outcome == INTERRUPTED
        lab_head = self._witness.checked_head(end.audit_head)
        if (run := self._runs.get(end.run_id)) is None:
            return
        if interrupted:
            await self._rest(end.run_id, run)
        else:
            await self._drop(end.run_id)
            self._ledger.end(end.run_id)
        self._audit.append(
            "run interrupted" if interrupted else "run ended",
            run=end.run_id,
            outcome=end.outcome[:20],
            lab_head=lab_head,
            own_head_seen=self._witness.checked_receipt(end.countersignature),
        )
        closed = pb.RunClosed(run_id=end.run_id, audit_head=self._witness.signed_head())
        self._witness.countersign(closed.countersignature, end.audit_head)
        await send(pb.ConnectRequest(run_closed=closed))

    async def end_revoked(self, revoked: Collection[str]) -> None:
        """End every run whose runner's certificate has been revoked."""
        for run_id in [run_id for run_id, runner in self._runners.items() if runner.serial in revoked]:
            if await self._drop(run_id):
                self._audit.append("run ended", run=run_id, outcome="runner revoked")

    async def take_permit_list(self, token: str) -> None:
        """Keep a signed list of revoked permits, and end every run whose permit is on it.

        One by a key that is not pinned here is another holder's affair. One that is known ends runs all the same: when
        it came first, the connection or the disk may have failed in the midst of that.

        Raises:
            UntrustedError: it is no signed list, which the lab would not have published.
        """
        now = datetime.now(UTC)
        try:
            signer, found, new = self._permit_lists.take(token, self._keys.permits, now=now)
        except PermitError as error:
            if error.reason is Reason.NOT_YET_VALID:
                log.warning("a list of revoked permits is not gone by", reason=error.what)
            elif error.reason is not Reason.UNKNOWN_KEY:
                raise UntrustedError(f"The gateway sends a list that is none. {error.what}") from error
            return
        if new:
            said = {"issued": found.issued.isoformat(), "permits": len(found.ids)}
            self._audit.append("permits revoked", signer=signer, **said)
        for run_id, run in list(self._runs.items()):
            if run.approval.claims.id in found.ids and await self._drop(run_id):
                self._audit.append("run ended", run=run_id, outcome="permit revoked")

    def note(self, news: pb.RunnerRenewed | pb.ReplyRefused) -> None:
        """Take note of something about a run that this node takes part in."""
        run = self._runs.get(news.run_id)
        if run is None:
            return
        if isinstance(news, pb.RunnerRenewed):
            self._note_renewed(run, news)
            return
        self._audit.append(
            "reply refused by the lab",
            run=news.run_id,
            task=news.task_id[:64],
            reason=news.reason[:MAX_REASON],
        )

    def _note_renewed(self, run: NodeRun, renewed: pb.RunnerRenewed) -> None:
        """Know a run's runner by its new certificate from now on, if that has signed the same offer."""
        offer = pb.Offer()
        offer.CopyFrom(run.offer)
        offer.runner_signature, offer.runner_chain_pem = renewed.runner_signature, renewed.runner_chain_pem
        try:
            runner = self._admission.check_runner(offer)
        except RefusedError as error:
            log.warning("a runner's new certificate is refused", run=renewed.run_id, reason=str(error))
            return
        self._runners[renewed.run_id] = runner
        self._audit.append("runner renewed", run=renewed.run_id, runner=runner.serial)

    async def keep_only(self, open_runs: Collection[str]) -> None:
        """End the worker of every run that the gateway does not know: it has ended, or its runner is away.

        What was recorded stays for as long as it may be taken up again.
        """
        for run_id in self._runs.keys() - set(open_runs):
            await self._rest(run_id, self._runs[run_id])

    def cut(self) -> None:
        """Stop transfers: the connection is gone; what has arrived stays."""
        for run in self._runs.values():
            run.inbox.cut()

    async def close(self) -> None:
        """End every run's worker; what was recorded stays for the next agent."""
        for run in self._runs.values():
            await run.rest()

    async def _rest(self, run_id: str, run: NodeRun) -> None:
        """End a run's worker, and forget the run if it is not taken up again in time."""

        async def forget() -> None:
            await asyncio.sleep(KEPT_SECONDS)
            if run.resting and self._runs.get(run_id) is run and await self._drop(run_id):
                self._ledger.end(run_id)
                self._audit.append("run ended", run=run_id, outcome="lost")

        await run.rest()
        if (before := self._forgetting.pop(run_id, None)) is not None:
            before.cancel()
        self._forgetting[run_id] = asyncio.create_task(forget())

    def _approve(self, offer: pb.Offer) -> NodeRun:
        if self._stopping:
            raise FederationError("This node is being stopped.")
        if self._ledger.has_ended(offer.run_id):
            raise RefusedError("This run has ended here.", next_step="Start another run.")
        if sum(not run.resting for run in self._runs.values()) >= self._config.resources.concurrent_runs:
            raise FederationError("This node is busy: as many runs as its configuration allows are open.")
        run, self._runners[offer.run_id] = self._admission.approve(offer)
        return run

    def _check_task(self, task: pb.Task) -> None:
        check_names(task.task_id, task.message_type, task.group_id)
        if task.run_id not in self._runs:
            raise RefusedError("This node does not take part in that run.")
        if not 0 < task.ttl < math.inf:
            raise WireError("A task must say for how many seconds it counts.")
        if self._waiting[task.run_id] >= MAX_TASKS_AT_NODE:
            raise RefusedError(f"More than {MAX_TASKS_AT_NODE} tasks of this run wait at this node.")

    async def _reply(self, task: pb.Task, send: Send) -> tuple[pb.Reply, bool]:
        """Return the reply to a task, and whether it was recorded before."""
        run = self._runs.get(task.run_id)
        if run is None or not run.started:
            raise RefusedError("This node does not take part in that run.")
        if self._stopping:
            raise RefusedError("This node is being stopped.")
        check_runner_current(self._runners[task.run_id], datetime.now(UTC))
        check_action(run.approval, task.message_type)
        check_not_revoked(run.approval.claims, run.approval.signer, self._admission.facts(datetime.now(UTC)))
        check_still_permitted(run.approval, self._config.policy, datetime.now(UTC))
        if (recorded := run.recorded.reply(task)) is not None:
            return recorded, True
        return await self._carried_out(run, task, lambda fetch: send(pb.ConnectRequest(fetch=fetch))), False

    async def _carried_out(self, run: NodeRun, task: pb.Task, send: SendFetch) -> pb.Reply:
        """Carry a task out; on a full disk wait for room, for as long as it counts, and begin it anew.

        Raises:
            FullError: there was none in that time.
        """
        seconds = min(task.ttl, self._config.resources.task_seconds)
        deadline = time.monotonic() + task.ttl
        while True:
            await self._room.wait(deadline - time.monotonic())
            try:
                return await run.carry_out(task, seconds, send)
            except Exception as error:
                if not self._room.ran_out(error):
                    raise
                log.warning("the disk is full: a task is begun anew", run=task.run_id, task=task.task_id)
                await run.rest()  # its worker may be further than what is recorded

    async def _drop(self, run_id: str) -> bool:
        self._runners.pop(run_id, None)
        run = self._runs.pop(run_id, None)
        if run is not None:
            await run.close()
        return run is not None

    def _record_decision(self, decision: pb.Decision, offer: pb.Offer, lab_head: dict[str, Any]) -> None:
        self._audit.append(
            "run decided",
            run=offer.run_id,
            decision=pb.DecisionCode.Name(decision.code),
            reason=decision.reason,
            app=offer.app_sha256.hex(),
            dataset=offer.dataset,
            version=offer.dataset_version,
            purpose=offer.purpose,
            runner=runner.serial if (runner := self._runners.get(offer.run_id)) else "",
            lab_head=lab_head,
        )


def _error(task: pb.Task, code: pb.TaskErrorCode, message: str) -> pb.Reply:
    return pb.Reply(run_id=task.run_id, task_id=task.task_id, error=pb.TaskError(code=code, message=message))
