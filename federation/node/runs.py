"""The runs that this node takes part in: deciding on them, their workers, and their buffers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from datalab.audit.log import AuditLog
from datalab.errors import DatalabError, RefusedError
from datalab.home import Home
from federation.bundle import unpack
from federation.errors import WireError
from federation.node.config import NodeConfig
from federation.node.policy import Approval, HeldDataset, check_action, decide
from federation.node.sandbox import Places, check_sandbox
from federation.node.worker import Worker, WorkerLostError
from federation.pb import federation_pb2 as pb
from federation.wire.buffers import BufferStore
from federation.wire.exchange import Inbox
from federation.wire.protocol import CHUNK_BYTES, check_run_id, referenced

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

log = structlog.get_logger()

Send = Callable[[pb.ConnectRequest], Awaitable[None]]


class NodeRun:
    """One accepted run: its folder, its warm worker, and what it may do."""

    def __init__(self, offer: pb.Offer, approval: Approval, folder: Path, send: Send) -> None:
        self.offer = offer
        self.approval = approval
        self.folder = folder
        self.received = BufferStore(folder / "inbox")
        self.produced = BufferStore(folder / "outbox")
        self.inbox = Inbox(self.received, offer.run_id)
        self.worker: Worker | None = None
        self._send = send

    async def fetch(self, sha256: bytes) -> None:
        """Have a buffer of this run here, fetching what is missing of it; raises WireError if it is not to be had."""
        await self.inbox.ensure(sha256, lambda fetch: self._send(pb.ConnectRequest(fetch=fetch)))

    def serve(self, fetch: pb.Fetch) -> pb.Chunk:
        """Return a piece of a buffer that this run's worker produced."""
        chunk = pb.Chunk(run_id=fetch.run_id, sha256=fetch.sha256, offset=fetch.offset)
        size = self.produced.size(fetch.sha256)
        if size is None:
            chunk.missing = True
        else:
            chunk.size = size
            chunk.data = self.produced.read(fetch.sha256, fetch.offset, min(fetch.length, CHUNK_BYTES))
        return chunk


class Runs:
    """Decides on offers and carries out tasks.

    Args:
        node: this node's name.
        home: the node's home.
        config: its ``node.toml``.
        held: its datasets.
        keys: public keys whose permits count here.
        audit: the node's own audit log.
    """

    def __init__(
        self,
        node: str,
        home: Home,
        config: NodeConfig,
        held: Sequence[HeldDataset],
        keys: Sequence[OKPKey],
        audit: AuditLog,
    ) -> None:
        self._node = node
        self._home = home
        self._config = config
        self._held = held
        self._keys = keys
        self._audit = audit
        self._runs: dict[str, NodeRun] = {}

    def get(self, run_id: str) -> NodeRun | None:
        """Return an accepted run."""
        return self._runs.get(run_id)

    async def consider(self, offer: pb.Offer, send: Send) -> None:
        """Decide on an offered run, and start its worker if it is allowed; the lab is told which it was, and why."""
        decision = pb.Decision(run_id=check_run_id(offer.run_id), node=self._node)
        try:
            if offer.run_id not in self._runs:
                approval = decide(offer, self._config, self._held, self._keys, datetime.now(UTC))
                await self._start(offer, approval, send)
            decision.code = pb.DECISION_CODE_ACCEPTED
        except RefusedError as error:
            decision.code, decision.reason = pb.DECISION_CODE_REFUSED, str(error)
        except DatalabError as error:
            log.error("run could not be prepared", run=offer.run_id, error=str(error), where=error.where)
            decision.code, decision.reason = pb.DECISION_CODE_FAILED, error.what
        head = self._audit.append(
            "run decided",
            run=offer.run_id,
            decision=pb.DecisionCode.Name(decision.code),
            reason=decision.reason,
            app=offer.app_sha256.hex(),
            dataset=offer.dataset,
            version=offer.dataset_version,
            purpose=offer.purpose,
            lab_head={"n": offer.audit_head.number, "hash": offer.audit_head.hash},
        )
        decision.audit_head.number, decision.audit_head.hash = head.n, head.hash
        await send(pb.ConnectRequest(decision=decision))

    async def carry_out(self, task: pb.Task, send: Send) -> None:
        """Run a task through the app, and send its reply or a typed error."""
        run = self._runs.get(task.run_id)
        reply = pb.Reply(run_id=task.run_id, task_id=task.task_id)
        try:
            if run is None or run.worker is None:
                raise RefusedError("This node does not take part in that run.")
            check_action(run.approval, task.message_type)
            for sha256 in referenced(task.content):
                await run.fetch(sha256)
            reply = await run.worker.run(task, min(task.ttl, self._config.resources.task_seconds))
        except RefusedError as error:
            reply.error.code, reply.error.message = pb.TASK_ERROR_CODE_REFUSED, str(error)
        except (WorkerLostError, WireError) as error:
            reply.error.code, reply.error.message = pb.TASK_ERROR_CODE_WORKER_LOST, error.what
        self._audit.append(
            "task done",
            run=task.run_id,
            task=task.task_id,
            type=task.message_type,
            group=task.group_id,
            result=pb.TaskErrorCode.Name(reply.error.code) if reply.WhichOneof("result") == "error" else "replied",
        )
        await send(pb.ConnectRequest(reply=reply))

    async def end(self, end: pb.RunEnd) -> None:
        """End a run's worker, forget its buffers, and write the lab's last audit head into this node's log."""
        run = self._runs.pop(end.run_id, None)
        if run is None:
            return
        if run.worker is not None:
            await run.worker.stop()
        shutil.rmtree(run.folder, ignore_errors=True)
        self._audit.append(
            "run ended",
            run=end.run_id,
            outcome=end.outcome[:20],
            lab_head={"n": end.audit_head.number, "hash": end.audit_head.hash},
        )

    def cut(self) -> None:
        """Stop transfers: the connection is gone; what has arrived stays."""
        for run in self._runs.values():
            run.inbox.cut()

    async def close(self) -> None:
        """End every worker."""
        for run in self._runs.values():
            if run.worker is not None:
                await run.worker.stop()

    async def _start(self, offer: pb.Offer, approval: Approval, send: Send) -> None:
        folder = self._home.path / "runs" / offer.run_id
        shutil.rmtree(folder, ignore_errors=True)
        run = NodeRun(offer, approval, folder, send)
        self._runs[offer.run_id] = run
        try:
            await run.fetch(offer.app_sha256)
            app = unpack(run.received.path(offer.app_sha256), folder / "app")
            if self._config.policy.sandbox == "bubblewrap":
                await asyncio.to_thread(check_sandbox)
            run.worker = await Worker.start(
                Places(folder / "app", Path(approval.dataset.folder), folder / "inbox", folder / "outbox"),
                pb.WorkerStart(
                    client_app=app.client_app,
                    run_id=offer.run_id,
                    node=self._node,
                    seed=offer.seed,
                    run_config=offer.config,
                ),
                sandbox=self._config.policy.sandbox,
                log=self._home.log_file(f"run-{offer.run_id}"),
            )
        except BaseException:
            del self._runs[offer.run_id]
            raise


def announcement(dataset: HeldDataset) -> pb.DatasetAnnouncement:
    """Return what the node says about a dataset: schema and permitted counts."""
    return pb.DatasetAnnouncement(
        id=dataset.entry.id,
        version=dataset.entry.version,
        report_json=dataset.report_json,
        held_here=not dataset.entry.in_lab,
    )
