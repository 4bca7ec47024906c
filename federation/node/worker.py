"""The agent's side of a worker: starts it in its sandbox, keeps it warm across the rounds of a run, and ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from datalab.service import python_module
from federation.errors import FederationError, WireError
from federation.node.sandbox import APP, DATA, INBOX, OUTBOX, Places, sandboxed, worker_environment
from federation.pb import federation_pb2 as pb
from federation.pb import worker_pb2
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


class Worker:
    """A warm worker process of one run; one task at a time, in the order in which they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, places: Places, request: worker_pb2.WorkerStart, *, sandbox: str, log: Path) -> Worker:
        """Start a worker and wait until it has loaded the app.

        Args:
            places: host folders that it sees.
            request: what to load; its folders are filled in here.
            sandbox: ``bubblewrap`` or ``none``.
            log: gets the worker's stderr, which stays at the node.

        Raises:
            WorkerLostError: it ended or did not become ready.
        """
        if sandbox == "bubblewrap":
            command = sandboxed(places, MODULE)
            request.app_folder, request.inbox, request.outbox = APP, INBOX, OUTBOX
            data = DATA
        else:
            command = python_module(MODULE)
            request.app_folder, request.inbox, request.outbox = map(str, (places.app, places.inbox, places.outbox))
            data = str(places.data)
        request.node_config.entries.add(key="dataset", string=data)
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=worker_environment(),
                limit=MAX_FRAME_BYTES,
                process_group=0,
            )
        worker = cls(process)
        try:
            answer = await worker._exchange(worker_pb2.WorkerRequest(start=request), START_SECONDS)
            if answer.WhichOneof("frame") != "ready" or answer.ready.error:
                raise WorkerLostError("The app could not be loaded; the node's log says why.")
        except BaseException:
            await worker.stop()
            raise
        return worker

    async def run(self, task: pb.Task, seconds: float) -> pb.Reply:
        """Give the worker a task and return its reply.

        The worker holds foreign code, so the reply is made here: of what came, only the records and the time are taken,
        and of an error only that there was one.

        Raises:
            WorkerLostError: it ended, broke the pipe's protocol, or took longer than ``seconds``; it is stopped.
        """
        answer = await self._exchange(worker_pb2.WorkerRequest(task=task), seconds)
        if answer.WhichOneof("frame") != "reply" or answer.reply.task_id != task.task_id:
            await self.stop()
            raise WorkerLostError("The worker answered something else than it was asked.")
        reply = pb.Reply(run_id=task.run_id, task_id=task.task_id)
        reply.app_seconds = min(max(answer.reply.app_seconds, 0.0), seconds)
        if answer.reply.WhichOneof("result") == "content":
            reply.content.CopyFrom(answer.reply.content)
        else:
            reply.error.CopyFrom(APP_FAILED)
        return reply

    async def stop(self) -> None:
        """End the worker and all that it started (its whole sandbox)."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _exchange(self, request: worker_pb2.WorkerRequest, seconds: float) -> worker_pb2.WorkerResponse:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            try:
                async with asyncio.timeout(seconds):
                    self._process.stdin.write(encode_frame(request))
                    await self._process.stdin.drain()
                    answer = await read_frame_async(self._process.stdout, worker_pb2.WorkerResponse)
            except (TimeoutError, WireError, ConnectionError) as error:
                await self.stop()
                raise WorkerLostError("The worker was stopped: it took too long or broke its protocol.") from error
        if answer is None:
            await self.stop()
            raise WorkerLostError("The worker ended.")
        return answer
