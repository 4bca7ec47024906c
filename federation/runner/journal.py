"""The run's journal: every exchange of the ServerApp with its nodes, so that a runner that dies is run again from it.

A ServerApp cannot be started in its middle. A runner that is started again runs it from the top with the same seeds,
and answers it from the journal, exchange by exchange, until it has reached the present.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datalab.canonical import canonical_json
from datalab.errors import ExitCode
from federation.errors import RunFailedError
from federation.journal import Journal, content_digest, task_digest
from federation.pb import federation_pb2 as pb
from federation.pb.journal_pb2 import JournalAnswer, JournalEntry, JournalNodes, JournalPush, JournalStart


class NotReplayableError(RunFailedError):
    """The ServerApp, run again, does something else than before."""

    exit_code = ExitCode.BAD_INPUT


class RunJournal:
    """The exchanges of one run, by number: pushes, questions for replies, questions for the nodes.

    Args:
        path: the journal.
        spec: the run as it was asked for, ``run.json``.

    Attributes:
        start: how the run began; None where it has not.

    Raises:
        NotReplayableError: the journal is of another run, or of another version of Flower.
    """

    def __init__(self, path: Path, spec: Path) -> None:
        self._journal = Journal(path)
        self.start: JournalStart | None = None
        # Digests of the tasks that were pushed, and where the replies lie that were handed over, answer by answer.
        self._pushed: list[bytes] = []
        self._answers: dict[int, list[int]] = {}
        self._settled: set[str] = set()
        self._nodes: dict[int, list[str]] = {}
        self._answered = self._asked = self._count = 0
        self._load()
        self._sync()
        # What was there when the journal was opened is replayed.
        self._known_tasks, self._known_answers = len(self._pushed), max(self._answers, default=0)
        self._present: list[str] = []
        self._spec_sha256 = _asked(spec)
        self._check_start()

    @property
    def replaying(self) -> bool:
        """Whether what the ServerApp does now is known from before."""
        return self._count < self._known_tasks or self._answered < self._known_answers

    @property
    def known_tasks(self) -> int:
        """How many tasks were known when the journal was opened."""
        return self._known_tasks

    @property
    def durable(self) -> int:
        """Bytes of the journal that are on the disk; from any thread."""
        return self._durable

    def begin(self, decisions: Collection[pb.Decision]) -> JournalStart:
        """Write down how the run begins: when, and who takes part."""
        self.start = JournalStart(
            spec_sha256=self._spec_sha256,
            flower=version("flwr"),
            started=datetime.now(UTC).timestamp(),
            decisions=decisions,
        )
        self._journal.append(JournalEntry(start=self.start).SerializeToString())
        self._sync()
        return self.start

    def push(self, tasks: Sequence[pb.Task]) -> list[pb.Task]:
        """Write down tasks with one content, and return those that are not settled yet.

        Raises:
            NotReplayableError: one is another than it was.
        """
        content = content_digest(tasks[0]) if tasks else b""
        digests = [task_digest(task, content) for task in tasks]
        first, self._count = self._count, self._count + len(tasks)
        for number, digest in enumerate(digests, start=first):
            if number < len(self._pushed) and self._pushed[number] != digest:
                raise NotReplayableError(
                    f"The app is not replayable: message {number + 1} is another than before the interruption.",
                    next_step="It must draw random numbers from random and numpy's global generator alone, which are "
                    "seeded, and send neither times nor names of its own process. Start another run.",
                )
        new = digests[max(0, len(self._pushed) - first) :]
        if new:
            entry = JournalEntry(push=JournalPush(first=len(self._pushed), sha256=new))
            self._journal.append(entry.SerializeToString())
            self._pushed += new
        return [task for task in tasks if task.task_id not in self._settled]

    def recorded(self) -> list[pb.Reply] | None:
        """Begin the next question for replies; return what it was answered with before, or None if it was not."""
        self._answered += 1
        if self._answered in self._answers:
            return [JournalEntry.FromString(self._journal.read(at)).reply for at in self._answers[self._answered]]
        return [] if self._answered < self._known_answers else None

    def answer(self, replies: Sequence[pb.Reply], settled: Collection[str]) -> None:
        """Have the present question's replies on the disk, before the ServerApp sees them.

        Args:
            replies: what it is about to be given.
            settled: tasks that are done with.
        """
        for reply in replies:
            self._journal.append(JournalEntry(reply=reply).SerializeToString())
        answer = JournalAnswer(number=self._answered, replies=len(replies), settled=settled)
        self._journal.append(JournalEntry(answer=answer).SerializeToString())
        self._sync()

    def nodes(self, present: Sequence[str]) -> list[str]:
        """Return the run's nodes as the ServerApp was told the same time before, or else those that are ``present``."""
        self._asked += 1
        if self._asked in self._nodes:
            self._present = self._nodes[self._asked]
        elif not self.replaying and self._present != list(present):
            self._present = list(present)
            nodes = JournalNodes(number=self._asked, nodes=present)
            self._journal.append(JournalEntry(nodes=nodes).SerializeToString())
        return self._present

    def close(self) -> None:
        """Close the file."""
        self._journal.close()

    def _sync(self) -> None:
        self._journal.sync()
        self._durable = self._journal.size

    def _check_start(self) -> None:
        start = self.start
        if start is None:
            return
        if start.spec_sha256 != self._spec_sha256:
            raise NotReplayableError("The journal is of a run that was asked for in other words.")
        if start.flower != version("flwr"):
            raise NotReplayableError(
                f"The run began with Flower {start.flower}, and {version('flwr')} is installed here now.",
                next_step="Install that version to resume it, or start another run.",
            )

    def _load(self) -> None:
        places: list[int] = []
        for at, record in self._journal.records():
            entry = JournalEntry.FromString(record)
            match entry.WhichOneof("entry"):
                case "start":
                    self.start = entry.start
                case "push":
                    self._pushed[entry.push.first :] = entry.push.sha256
                case "reply":
                    places.append(at)
                case "answer":
                    # A crash may have left replies before them that nobody was given.
                    self._answers[entry.answer.number] = places[len(places) - entry.answer.replies :]
                    self._settled.update(entry.answer.settled)
                    places = []
                case "nodes":
                    self._nodes[entry.nodes.number] = list(entry.nodes.nodes)


def _asked(spec: Path) -> bytes:
    """Return the SHA-256 of what was asked for; where the lab lies, which may be another place by then, is no part."""
    said: dict[str, Any] = json.loads(spec.read_bytes())
    said.pop("lab_home", None)
    return hashlib.sha256(canonical_json(said)).digest()
