"""``python -m federation.worker``: frames come on stdin and go to what was stdout; the app prints to stderr."""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

from federation.pb import federation_pb2 as pb
from federation.pb import worker_pb2
from federation.wire.buffers import BufferStore
from federation.wire.pipe import read_frame, take_standard_streams, write_frame


def main() -> None:
    """Load the app, then answer tasks until the agent closes the pipe."""
    requests, responses = take_standard_streams()
    opening = read_frame(requests, worker_pb2.WorkerRequest)
    if opening is None:
        return
    start = opening.start
    try:
        from federation.worker.executor import Executor

        executor = Executor(start, BufferStore(Path(start.inbox)), BufferStore(Path(start.outbox)))
    except Exception:  # noqa: BLE001 - whatever the app's import raises: it is not ours to know, and the agent must be told
        traceback.print_exc()
        failed = worker_pb2.WorkerReady(error="the app could not be loaded")
        write_frame(responses, worker_pb2.WorkerResponse(ready=failed))
        sys.exit(1)
    write_frame(responses, worker_pb2.WorkerResponse(ready=worker_pb2.WorkerReady()))
    while (request := read_frame(requests, worker_pb2.WorkerRequest)) is not None:
        reply = pb.Reply(run_id=request.task.run_id, task_id=request.task.task_id)
        answer = worker_pb2.WorkerResponse(reply=reply)
        started = time.perf_counter()
        try:
            answer.reply.content.CopyFrom(executor.run(request.task))
            if (state := executor.changed_state()) is not None:
                answer.state.CopyFrom(state)
        except Exception:  # noqa: BLE001 - the app's own failure becomes a typed, scrubbed error
            traceback.print_exc()
            answer.reply.error.code = pb.TASK_ERROR_CODE_APP_FAILED
        answer.reply.app_seconds = executor.app_seconds or time.perf_counter() - started
        write_frame(responses, answer)


if __name__ == "__main__":
    main()
