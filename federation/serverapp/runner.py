"""The runner, as the ServerApp's process sees it: frames over a pipe, and large buffers as files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from federation.errors import RunFailedError
from federation.pb import federation_pb2, records_pb2
from federation.pb import server_app_pb2 as pb
from federation.wire.buffers import BufferStore, StoredBuffer
from federation.wire.pipe import read_frame, write_frame

KEPT_BATCHES = 3
"""A model is asked for while its round lasts, and is the next round's as well."""


class Runner:
    """Sends tasks to the runner and receives replies.

    Args:
        start: says where buffers lie.
        requests: frames from the runner.
        responses: frames to it.
    """

    def __init__(self, start: pb.ServerAppStart, requests: IO[bytes], responses: IO[bytes]) -> None:
        self._requests = requests
        self._responses = responses
        self._inbox = BufferStore(Path(start.inbox))
        self._outbox = BufferStore(Path(start.outbox))
        self._batches: deque[set[bytes]] = deque([set()])

    def put(self, buffer: memoryview) -> bytes:
        """Leave a buffer for the nodes, and return its SHA-256."""
        sha256 = self._outbox.add(buffer)
        self._batches[-1].add(sha256)
        return sha256

    def push(self, content: records_pb2.RecordDict, tasks: Iterable[federation_pb2.Task]) -> None:
        """Send ``content`` for some nodes; the buffers that it names have been ``put``."""
        self._send(pb.ServerAppResponse(push=pb.Push(content=content, tasks=tasks)))

    def batch_pushed(self) -> None:
        """Begin the next batch of messages, and remove the buffers that only batches of long ago have named."""
        self._batches.append(set())
        if len(self._batches) > KEPT_BATCHES:
            old = self._batches.popleft()
            for sha256 in old.difference(*self._batches):
                self._outbox.remove(sha256)

    def wait(
        self, task_ids: Sequence[str], *, timeout: float | None = None, poll: bool = False
    ) -> list[federation_pb2.Reply]:
        """Return replies in the order of node ids: all, those within ``timeout`` seconds, or those here already.

        Raises:
            RunFailedError: the runner has gone.
        """
        asked = pb.Await(task_ids=task_ids, poll=poll)
        if timeout is not None:
            asked.timeout = timeout
        self._send(pb.ServerAppResponse(wait=asked))
        replies: list[federation_pb2.Reply] = []
        while (frame := read_frame(self._requests, pb.ServerAppRequest)) is not None:
            if frame.WhichOneof("frame") == "replies_end":
                return replies
            replies.append(frame.reply)
        raise RunFailedError("The runner has gone.")

    def nodes(self) -> list[str]:
        """Return the names of the run's nodes that are not lost.

        Raises:
            RunFailedError: the runner has gone.
        """
        self._send(pb.ServerAppResponse(ask_nodes=pb.AskNodes()))
        frame = read_frame(self._requests, pb.ServerAppRequest)
        if frame is None:
            raise RunFailedError("The runner has gone.")
        return list(frame.nodes.names)

    def batch_done(self, seconds: float) -> None:
        """Say how long a batch took from before its messages were encoded until its replies were read."""
        self._send(pb.ServerAppResponse(batch_done=pb.BatchDone(seconds=seconds)))

    def read(self, sha256: bytes) -> StoredBuffer:
        """Return a received buffer, which is read when it is used: an app need not hold all replies at once."""
        return StoredBuffer(self._inbox.path(sha256))

    def end(self, end: pb.ServerAppEnd) -> None:
        """Say how the app ended."""
        self._send(pb.ServerAppResponse(end=end))

    def _send(self, frame: pb.ServerAppResponse) -> None:
        write_frame(self._responses, frame)
