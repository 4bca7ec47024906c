"""What a node has answered in one run, on its disk until the run ends: no task is carried out twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

from datalab.errors import RefusedError
from federation.journal import Journal, content_digest, task_digest
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2
from federation.pb.journal_pb2 import RecordedReply


class Recorded:
    """The replies of one run, and the app's state after the last of them.

    Args:
        path: the file; one that is there is gone on with.

    Attributes:
        state: ``Context.state`` as the last recorded reply has left it.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._known: dict[str, tuple[bytes, int]] = {}
        self._syncing: asyncio.Future[None] | None = None
        self.state = records_pb2.RecordDict()
        for at, record in self._journal.records():
            said = RecordedReply.FromString(record)
            self._known[said.reply.task_id] = said.task_sha256, at
            if said.HasField("state"):
                self.state = said.state

    def reply(self, task: pb.Task) -> pb.Reply | None:
        """Return the recorded reply to a task, if there is one.

        Raises:
            RefusedError: under its id, another task was answered.
        """
        known = self._known.get(task.task_id)
        if known is None:
            return None
        sha256, at = known
        if sha256 != task_digest(task, content_digest(task)):
            raise RefusedError("Another task was answered under this id: the app is not replayable.")
        return RecordedReply.FromString(self._journal.read(at)).reply

    def add(self, task: pb.Task, reply: pb.Reply, state: records_pb2.RecordDict | None) -> None:
        """Write a reply down, and with it the app's state where the task has changed it."""
        sha256 = task_digest(task, content_digest(task))
        at = self._journal.append(RecordedReply(reply=reply, task_sha256=sha256, state=state).SerializeToString())
        self._known[task.task_id] = sha256, at
        if state is not None:
            self.state = state

    def settle(self) -> None:
        """Begin to have on the disk what was written down; the audit log's entry is written there meanwhile."""
        self._syncing = asyncio.get_running_loop().run_in_executor(None, self._journal.sync)

    async def settled(self) -> None:
        """Return once what ``settle`` has begun is done; raises OSError if it cannot be."""
        if self._syncing is not None:
            await self._syncing

    def close(self) -> None:
        """Close the file."""
        self._journal.close()
