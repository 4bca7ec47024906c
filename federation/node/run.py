"""One accepted run at a node: its folder, its warm worker, and its buffers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from datalab.home import Home
from federation.bundle import unpack
from federation.node.config import NodeConfig
from federation.node.policy import Approval
from federation.node.worker import Worker, WorkerLostError
from federation.pb import federation_pb2 as pb
from federation.pb import worker_pb2
from federation.sandbox.bubblewrap import Sandbox, confinement
from federation.sandbox.limits import Limits
from federation.sandbox.removal import remove_folder
from federation.wire.buffers import BufferStore
from federation.wire.exchange import Inbox, SendFetch
from federation.wire.pieces import PieceSender
from federation.wire.protocol import referenced


class NodeRun:
    """An accepted run.

    Args:
        node: this node's name.
        offer: what was accepted.
        approval: what it may do.
        config: ``node.toml``.
        home: the node's home; the run has ``runs/<run id>`` in it until it ends.

    Attributes:
        confinement: how its app is confined, once it runs.
    """

    def __init__(self, node: str, offer: pb.Offer, approval: Approval, config: NodeConfig, home: Home) -> None:
        self.offer = offer
        self.approval = approval
        self._node = node
        self._config = config
        self._log = home.log_file(f"run-{offer.run_id}")
        self._folder = home.path / "runs" / offer.run_id
        remove_folder(self._folder)
        limit = config.resources.cache_bytes
        self._received = BufferStore(self._folder / "inbox", limit)
        # What the worker left in the outbox is copied here before it is sent: foreign code cannot reach it.
        self._produced = BufferStore(self._folder / "produced", limit)
        self._pieces = PieceSender(pb.ConnectRequest)
        self._outbox = self._folder / "outbox"
        self._outbox.mkdir()
        self.inbox = Inbox(self._received, offer.run_id)
        self.confinement = ""
        self._starting: asyncio.Task[Worker] | None = None

    @property
    def started(self) -> bool:
        """Whether the worker has loaded the app."""
        task = self._starting
        return task is not None and task.done() and not task.cancelled() and task.exception() is None

    async def ready(self, send: SendFetch) -> None:
        """Fetch the app and start the worker, if that has not been done; return once it is ready.

        Raises:
            DatalabError: the app is not to be had, does not load, or there is no sandbox.
        """
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(send))
        try:
            await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            if self._starting.cancelled():
                raise WorkerLostError("The run ended before its worker was ready.") from None
            raise

    async def carry_out(self, task: pb.Task, seconds: float, send: SendFetch) -> pb.Reply:
        """Run a task through the app; what its reply names is ready to be fetched when this returns.

        Raises:
            WorkerLostError: the worker ended or took longer than ``seconds``.
            WireError: a buffer of the task is not to be had, or one of the reply is not what it is named.
        """
        assert self._starting is not None
        worker = await self._starting
        limit = self._config.resources.disk_bytes
        named = referenced(task.content, limit)
        self._received.trim(keep=named)
        await self.inbox.ensure_all(named, send)
        reply = await worker.run(task, seconds)
        produced = referenced(reply.content, limit)
        for sha256, size in produced.items():
            if self._produced.size(sha256) is None:
                await asyncio.to_thread(self._produced.adopt, self._outbox / sha256.hex(), sha256, size)
        self._produced.trim(keep=produced)
        return reply

    def serve(self, fetch: pb.Fetch) -> bytes:
        """Return a frame with a piece of a buffer that a reply of this run has named."""
        size = self._produced.size(fetch.sha256)
        return self._pieces.frame(fetch, size, lambda at, length: self._produced.read(fetch.sha256, at, length))

    async def close(self) -> None:
        """End the worker, or its start, and forget the run's files."""
        self.inbox.cut()
        if self._starting is not None:
            self._starting.cancel()
            (started,) = await asyncio.gather(self._starting, return_exceptions=True)
            if isinstance(started, Worker):
                await started.stop()
        await asyncio.to_thread(remove_folder, self._folder)

    async def _start(self, send: SendFetch) -> Worker:
        await self.inbox.ensure(self.offer.app_sha256, send)
        folder = self._folder / "app"
        app = await asyncio.to_thread(unpack, self._received.path(self.offer.app_sha256), folder)
        kind, resources = self._config.policy.sandbox, self._config.resources
        self.confinement = await asyncio.to_thread(confinement, kind)
        limits = Limits(
            memory_bytes=resources.memory_bytes,
            processes=resources.processes if kind == "bubblewrap" else 0,
            cpu_seconds=resources.cpu_seconds,
            disk_bytes=resources.disk_bytes,
        )
        lent = {
            "app": folder,
            "data.parquet": Path(self.approval.dataset.folder) / "data.parquet",
            "inbox": self._received.folder,
        }
        return await Worker.start(
            Sandbox(kind, lent, ("outbox", self._outbox), limits),
            worker_pb2.WorkerStart(
                client_app=app.client_app,
                run_id=self.offer.run_id,
                node=self._node,
                seed=self.offer.seed,
                run_config=self.offer.config,
            ),
            self._log,
        )
