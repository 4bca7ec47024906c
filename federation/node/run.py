"""One accepted run at a node: its folder, its warm worker, and its buffers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import structlog

from datalab.home import Home, write_atomically
from federation.bundle import unpack
from federation.node.config import NodeConfig
from federation.node.policy import Approval
from federation.node.recorded import Recorded
from federation.node.room import Room
from federation.node.worker import Worker, WorkerEndedError, WorkerLostError
from federation.pb import federation_pb2 as pb
from federation.pb import worker_pb2
from federation.sandbox.bubblewrap import Sandbox, confinement
from federation.sandbox.limits import Limits
from federation.sandbox.removal import remove_folder
from federation.wire.buffers import BufferStore
from federation.wire.exchange import Inbox, SendFetch
from federation.wire.pieces import PieceSender
from federation.wire.protocol import referenced
from federation.wire.sealed import same_offer
from federation.wire.values import encode_config

log = structlog.get_logger()

OFFER_FILE = "offer"
"""In a run's folder: the offer that was accepted."""


def left_behind(home: Home, offer: pb.Offer) -> bool:
    """Whether this very run was accepted here before, by an agent that was interrupted."""
    try:
        known = pb.Offer.FromString((home.path / "runs" / offer.run_id / OFFER_FILE).read_bytes())
    except FileNotFoundError:
        return False
    return same_offer(known, offer)


class NodeRun:
    """An accepted run.

    Args:
        node: this node's name.
        offer: what was accepted.
        approval: what it may do.
        config: ``node.toml``.
        home: the node's home; the run has ``runs/<run id>`` in it until it ends. What an agent that was interrupted has
            left there of the same run is gone on with.

    Attributes:
        confinement: how its app is confined, once it runs.
        recorded: what it has answered.
    """

    def __init__(self, node: str, offer: pb.Offer, approval: Approval, config: NodeConfig, home: Home) -> None:
        self.offer = offer
        self.approval = approval
        self._node = node
        self._config = config
        self._log = home.log_file(f"run-{offer.run_id}")
        self._room = Room(home.path)
        self._folder = home.path / "runs" / offer.run_id
        if not left_behind(home, offer):
            remove_folder(self._folder)
        for part in ("app", "outbox"):  # made anew for each worker
            remove_folder(self._folder / part)
        limit = config.resources.cache_bytes
        self._received = BufferStore(self._folder / "inbox", limit)
        # What the worker left in the outbox is copied here before it is sent: foreign code cannot reach it.
        self._produced = BufferStore(self._folder / "produced", limit)
        self._pieces = PieceSender(pb.ConnectRequest)
        self._outbox = self._folder / "outbox"
        self._outbox.mkdir()
        write_atomically(self._folder / OFFER_FILE, offer.SerializeToString())
        self.recorded = Recorded(self._folder / "replies")
        self.inbox = Inbox(self._received, offer.run_id)
        self.confinement = ""
        self._starting: asyncio.Task[Worker] | None = None

    @property
    def resting(self) -> bool:
        """Whether it has no worker."""
        return self._starting is None

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
        starting = self._starting
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():
                raise WorkerLostError("The run ended before its worker was ready.") from None
            raise

    async def carry_out(self, task: pb.Task, seconds: float, send: SendFetch) -> pb.Reply:
        """Run a task through the app; its reply is recorded, and what it names ready to be fetched, when this returns.

        A worker that has ended by itself is started again, once a task, with the state after the last recorded reply.

        Raises:
            WorkerLostError: the worker ended or took longer than ``seconds``.
            WireError: a buffer of the task is not to be had, or one of the reply is not what it is named.
            FullError: the app has failed on a full disk, which is not its fault.
        """
        limit = self._config.resources.disk_bytes
        named = referenced(task.content, limit)
        self._received.trim(keep=named.keys() | referenced(self.recorded.state, limit).keys())
        await self.inbox.ensure_all(named, send)
        worker = await self._worker(send)
        try:
            reply, state = await worker.run(task, seconds)
        except WorkerEndedError:
            log.warning("the worker ended by itself and is started again", run=task.run_id, task=task.task_id)
            reply, state = await (await self._worker(send, instead_of=worker)).run(task, seconds)
        if reply.WhichOneof("result") == "error":
            self._room.check()
        produced = referenced(reply.content, limit)
        await self._adopt(produced, self._produced)
        self._produced.trim(keep=produced)
        if state is not None:
            await self._adopt(referenced(state, limit), self._received)  # from where a worker reads it
        if reply.WhichOneof("result") == "content" or reply.error.code == pb.TASK_ERROR_CODE_APP_FAILED:
            self.recorded.add(task, reply, state)
            self.recorded.settle()
        return reply

    def serve(self, fetch: pb.Fetch) -> bytes:
        """Return a frame with a piece of a buffer that a reply of this run has named."""
        size = self._produced.size(fetch.sha256)
        return self._pieces.frame(fetch, size, lambda at, length: self._produced.read(fetch.sha256, at, length))

    async def rest(self) -> None:
        """End the worker, or its start; the run may go on later, with another one."""
        self.inbox.cut()
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            (started,) = await asyncio.gather(starting, return_exceptions=True)
            if isinstance(started, Worker):
                await started.stop()

    async def close(self) -> None:
        """End the worker, or its start, and forget the run's files."""
        await self.rest()
        with contextlib.suppress(OSError):  # it is about to be forgotten
            await self.recorded.settled()
        self.recorded.close()
        await asyncio.to_thread(remove_folder, self._folder)

    async def _worker(self, send: SendFetch, instead_of: Worker | None = None) -> Worker:
        """Return the run's worker; another one where ``instead_of``, which has ended, is still in its place."""
        if self._starting is None or (self.started and self._starting.result() is instead_of):
            self._starting = asyncio.create_task(self._start(send))
        return await asyncio.shield(self._starting)

    async def _adopt(self, named: Mapping[bytes, int], store: BufferStore) -> None:
        for sha256, size in named.items():
            if store.size(sha256) is None:
                await asyncio.to_thread(store.adopt, self._outbox / sha256.hex(), sha256, size)

    async def _start(self, send: SendFetch) -> Worker:
        await self.inbox.ensure(self.offer.app_sha256, send)
        folder = self._folder / "app"
        await asyncio.to_thread(remove_folder, folder)
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
                node_config=encode_config(self._config.node_config),
                run_config=self.offer.config,
                state=self.recorded.state,
            ),
            self._log,
        )
