"""``python -m federation.worker``: frames come on stdin and go to what was stdout; the app prints to stderr."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import BinaryIO

from federation.pb import federation_pb2 as pb
from federation.pb import worker_pb2
from federation.wire.buffers import BufferStore
from federation.wire.pipe import encode_frame, read_frame


def main() -> None:
    """Load the app, then answer tasks until the agent closes the pipe."""
    requests: BinaryIO = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    responses: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the app prints must not mix with frames
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    opening = read_frame(requests, worker_pb2.WorkerRequest)
    if opening is None:
        return
    start = opening.start
    try:
        from federation.worker.executor import Executor

        executor = Executor(start, BufferStore(Path(start.inbox)), BufferStore(Path(start.outbox)))
    except Exception:  # noqa: BLE001 - whatever the app's import raises: it is not ours to know, and the agent must be told
        traceback.print_exc()
        responses.write(
            encode_frame(worker_pb2.WorkerResponse(ready=worker_pb2.WorkerReady(error="the app could not be loaded")))
        )
        sys.exit(1)
    responses.write(encode_frame(worker_pb2.WorkerResponse(ready=worker_pb2.WorkerReady())))
    while (request := read_frame(requests, worker_pb2.WorkerRequest)) is not None:
        reply = pb.Reply(run_id=request.task.run_id, task_id=request.task.task_id)
        started = time.perf_counter()
        try:
            reply.content.CopyFrom(executor.run(request.task))
        except Exception:  # noqa: BLE001 - the app's own failure becomes a typed, scrubbed error
            traceback.print_exc()
            reply.error.code = pb.TASK_ERROR_CODE_APP_FAILED
        reply.app_seconds = executor.app_seconds or time.perf_counter() - started
        responses.write(encode_frame(worker_pb2.WorkerResponse(reply=reply)))


if __name__ == "__main__":
    main()
