"""The agent's side of a worker: starts it in its sandbox, keeps it warm across the rounds of a run, and ends it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from federation.errors import FederationError, WireError
from federation.node.config import DATASET_KEY
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2, worker_pb2
from federation.sandbox.bubblewrap import Sandbox
from federation.sandbox.guard import Guard
from federation.wire.pipe import encode_frame, read_frame_async
from federation.wire.protocol import MAX_FRAME_BYTES

MODULE = "federation.worker"
START_SECONDS = 60.0
APP_FAILED = pb.TaskError(
    code=pb.TASK_ERROR_CODE_APP_FAILED,
    message="The ClientApp raised an exception; its trace is in the node's own log.",
)


class WorkerLostError(FederationError):
    """The worker ended, or did not answer in time."""


class WorkerEndedError(WorkerLostError):
    """The worker ended by itself, beyond no limit: another one may do better."""


class Worker:
    """A warm worker process of one run; one task at a time, in the order in which they come."""

    def __init__(self, process: asyncio.subprocess.Process, guard: Guard) -> None:
        self._process = process
        self._guard = guard
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, sandbox: Sandbox, request: worker_pb2.WorkerStart, log: Path) -> Worker:
        """Start a worker and wait until it has loaded the app.

        Args:
            sandbox: where it runs; it is lent ``app``, ``data.parquet`` and ``inbox``, and writes to ``outbox``.
            request: what to load; its folders are filled in here.
            log: gets the worker's stderr, which stays at the node.

        Raises:
            WorkerLostError: it ended or did not become ready.
        """
        request.app_folder, request.inbox, request.outbox = map(sandbox.path, ("app", "inbox", "outbox"))
        request.node_config.entries.add(key=DATASET_KEY, string=sandbox.path("data.parquet"))
        errors, said = os.pipe()
        with sandbox.launch(MODULE) as launch:
            try:
                process = await asyncio.create_subprocess_exec(
                    *launch.command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=said,
                    env=launch.environment,
                    pass_fds=launch.descriptors,
                    limit=MAX_FRAME_BYTES,
                    process_group=0,
                )
            except BaseException:
                os.close(errors)
                raise
            finally:
                os.close(said)
        guard = Guard(process.pid, errors, log, sandbox.folder, sandbox.limits)
        worker = cls(process, guard)
        try:
            answer = await worker._exchange(worker_pb2.WorkerRequest(start=request), START_SECONDS)
            if answer.WhichOneof("frame") != "ready" or answer.ready.error:
                raise WorkerLostError("The app could not be loaded; the node's log says why.")
        except BaseException:
            await worker.stop()
            raise
        return worker

    async def run(self, task: pb.Task, seconds: float) -> tuple[pb.Reply, records_pb2.RecordDict | None]:
        """Give the worker a task; return its reply, and ``Context.state`` where the task has changed it.

        The worker holds foreign code, so the reply is made here: of what came, only the records and the time are taken,
        and of an error only that there was one.

        Raises:
            WorkerLostError: it ended, broke the pipe's protocol, or took longer than ``seconds``; it is stopped.
        """
        answer = await self._exchange(worker_pb2.WorkerRequest(task=task), seconds)
        if answer.WhichOneof("frame") != "reply" or answer.reply.task_id != task.task_id:
            raise await self._lost("it answered something else than it was asked")
        reply = pb.Reply(run_id=task.run_id, task_id=task.task_id)
        reply.app_seconds = min(max(answer.reply.app_seconds, 0.0), seconds)
        if answer.reply.WhichOneof("result") == "content":
            reply.content.CopyFrom(answer.reply.content)
            if pb.ConnectRequest(reply=reply).ByteSize() > MAX_FRAME_BYTES:  # it would end the node's stream
                reply.error.CopyFrom(APP_FAILED)
        else:
            reply.error.CopyFrom(APP_FAILED)
        return reply, answer.state if answer.HasField("state") else None

    async def stop(self) -> None:
        """End the worker and all that it started (its whole sandbox)."""
        if self._process.returncode is None:
            await asyncio.to_thread(self._guard.kill)
            await self._process.wait()
        await asyncio.to_thread(self._guard.close)

    async def _exchange(self, request: worker_pb2.WorkerRequest, seconds: float) -> worker_pb2.WorkerResponse:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            try:
                async with asyncio.timeout(seconds):
                    self._process.stdin.write(encode_frame(request))
                    await self._process.stdin.drain()
                    answer = await read_frame_async(self._process.stdout, worker_pb2.WorkerResponse)
            except TimeoutError as error:
                raise await self._lost("it took too long") from error
            except WireError as error:
                raise await self._lost("it broke its protocol") from error
            except ConnectionError:
                answer = None
        if answer is None:
            await self.stop()
            if self._guard.reason is None:
                raise WorkerEndedError("The worker ended by itself.")
            raise await self._lost("it ended by itself")
        return answer

    async def _lost(self, why: str) -> WorkerLostError:
        """Stop the worker, and return the error that says why: a limit that it exceeded comes first."""
        await self.stop()
        return WorkerLostError(f"The worker was stopped: {self._guard.reason or why}.")
