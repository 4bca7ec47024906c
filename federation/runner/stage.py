"""The ServerApp's process beside the runner: started in its sandbox, served over a pipe, believed in nothing.

The runner keeps key, connection and storage credentials. The process sees the app, the buffers received and one folder,
with buffers to send and what the app leaves behind.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.errors import RunFailedError, WireError
from federation.pb import federation_pb2, records_pb2
from federation.pb import server_app_pb2 as pb
from federation.run import CARD, flower_id
from federation.runner.journal import RunJournal
from federation.runner.link import Link
from federation.runner.replies import UNLIKE, Shapes, check_reply, shapes_of, unlike_others
from federation.runner.watch import Watch, round_of
from federation.sandbox.bubblewrap import Sandbox, check_sandbox
from federation.sandbox.guard import Guard
from federation.sandbox.limits import Limits, machine_memory
from federation.sandbox.removal import remove_folder
from federation.wire.pipe import encode_frame, read_frame, write_frame

MODULE = "federation.serverapp"
MAX_ARTIFACTS = 999
"""Files that a run may leave behind; with its run card they are what the catalog takes."""
MAX_DEPTH = 8
MAX_SAID = 500
MAX_UNANSWERED = 64
"""Messages for each node that may wait for their replies."""
MAX_UNANSWERED_TASKS, MAX_UNANSWERED_BYTES = 10_000, 1 << 30
"""For all nodes together; a message holds up to 1 MiB of small arrays, large ones lie in files."""
MAX_ROUND_DIGITS = 18
MAX_ASKED = 10
"""Times that an app may ask for the nodes, and then send nothing, before it counts as waiting for more of them."""
COMPARED = ("train", "evaluate")
"""Kinds of messages whose replies a strategy adds up, so that they must have the same arrays and metrics."""
PUSHED_TOGETHER = 100
"""Tasks that are on their way before the next ones are made."""
MAX_WAIT = 86_400 * 365.0
LIMITS = Limits(
    memory_bytes=max(2 << 30, machine_memory() // 2),
    processes=256,
    cpu_seconds=1 << 30,
    disk_bytes=32 << 30,
    open_files=1024,
)


@dataclass(frozen=True)
class Sent:
    """A task that has been sent, until its reply is handed over."""

    message_type: str
    round: str
    shapes: Shapes
    size: int


class Stage:
    """A context in which the ServerApp's process lives.

    Args:
        run_id: the run.
        app: its unpacked app.
        inbox: where buffers are received.
        folder: the one folder that the process may write to.
        limits: what it may use.
        log: gets what it says on its stderr.
        journal: what passes between it and the nodes, and what it did before an interruption.

    Attributes:
        confinement: by which means it is confined.
        outbox: the open folder of buffers to send.

    Raises:
        SandboxError: there is no sandbox on this machine.
    """

    def __init__(
        self, run_id: str, app: Path, inbox: Path, folder: Path, limits: Limits, log: Path, journal: RunJournal
    ) -> None:
        self.confinement = check_sandbox()
        self._run_id = run_id
        self._log = log
        self._journal = journal
        remove_folder(folder)  # of a runner that was interrupted: the app makes all of it again
        for part in ("outbox", "artifacts"):
            (folder / part).mkdir(parents=True, mode=0o700)
        # Opened before the process can put links in their place.
        self.outbox = os.open(folder / "outbox", os.O_RDONLY | os.O_DIRECTORY)
        self._artifacts = os.open(folder / "artifacts", os.O_RDONLY | os.O_DIRECTORY)
        self._sandbox = Sandbox("bubblewrap", {"app": app, "inbox": inbox}, ("work", folder), limits)
        self._sent: dict[str, Sent] = {}
        self._sent_bytes = 0
        self._counts: set[tuple[str, str]] = set()  # see ``shapes_of``
        self._count = 0
        # The nodes as the app was last told, and what those whose last reply was an error have said.
        self._present: Sequence[str] = ()
        self._failing: dict[str, str] = {}
        # How often the app has asked for the nodes since it last sent something, and since when.
        self._asked, self._asking_since = 0, 0.0
        self._idle = time.perf_counter()
        self._start()

    def _start(self) -> None:
        errors, said = os.pipe()
        with self._sandbox.launch(MODULE) as launch:
            try:
                self._process = subprocess.Popen(
                    launch.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    env=launch.environment,
                    pass_fds=launch.descriptors,
                    process_group=0,
                )
            except BaseException:
                os.close(errors)
                raise
            finally:
                os.close(said)
        self._guard = Guard(self._process.pid, errors, self._log, self._sandbox.folder, self._sandbox.limits)

    def conduct(self, start: pb.ServerAppStart, link: Link, watch: Watch) -> None:
        """Run the ServerApp to its end.

        Args:
            start: what to run; its folders are filled in here.
            link: the way to the nodes.
            watch: told about every batch.

        Raises:
            RunFailedError: the app failed, went beyond a limit or broke the protocol; every node answered with an
                error; or the gateway is gone.
        """
        start.app_folder, start.inbox = self._sandbox.path("app"), self._sandbox.path("inbox")
        start.outbox, start.artifacts = (f"{self._sandbox.path('work')}/{part}" for part in ("outbox", "artifacts"))
        self._present = start.nodes
        link.on_lost(self._guard.kill)  # an app that never calls the Grid would not notice
        try:
            self._write(pb.ServerAppRequest(start=start))
            while not self._serve(self._read(), start.nodes, link, watch):
                pass
        except (WireError, BrokenPipeError, EOFError) as error:
            link.check()
            raise self._lost(
                "it ended by itself" if isinstance(error, EOFError) else "it broke its protocol"
            ) from error
        finally:
            link.on_lost(None)

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process.poll() is None:
            self._guard.kill()
            self._process.wait()
        self._guard.close()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def collect(self, target: Path) -> None:
        """Copy what the app has left behind, once its process has ended: plain files, as many as the catalog takes.

        Raises:
            RunFailedError: it is too much, or would take the place of the run card.
        """
        files = list(_plain_files(self._artifacts, Path()))
        if CARD in {name for name, _ in files}:  # nobody would look into it: the lab itself writes that one
            raise RunFailedError(f"The ServerApp left a file {CARD}, which is the lab's own to write.")
        if len(files) > MAX_ARTIFACTS or sum(size for _, size in files) > self._sandbox.limits.disk_bytes:
            raise RunFailedError(f"The ServerApp left more than {MAX_ARTIFACTS} files or too large ones.")
        for name, _ in files:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._artifacts)
            with os.fdopen(source, "rb") as file, path.open("wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)

    def _serve(self, frame: pb.ServerAppResponse, nodes: Sequence[str], link: Link, watch: Watch) -> bool:
        """Do what one frame asks for; return whether the app has come to its end."""
        match frame.WhichOneof("frame"):
            case "push":
                content = frame.push.content
                shapes, size = shapes_of(content, self._counts), content.ByteSize()
                for first in range(0, len(frame.push.tasks), PUSHED_TOGETHER):
                    some = frame.push.tasks[first : first + PUSHED_TOGETHER]
                    tasks = [self._task(task, content, shapes, size, nodes) for task in some]
                    link.push(self._journal.push(tasks))
                self._asked = 0
            case "wait":
                self._hand_over(frame.wait, link, watch)
            case "ask_nodes":
                self._say_nodes(link, len(nodes))
            case "end":
                if frame.end.failure:
                    raise self._failed(frame.end)
                self._check_somebody_answers()
                return True
            case _:
                raise WireError("The ServerApp's process sent a frame out of turn.")
        return False

    def _task(
        self,
        said: federation_pb2.Task,
        content: records_pb2.RecordDict,
        shapes: Shapes,
        size: int,
        nodes: Sequence[str],
    ) -> federation_pb2.Task:
        """Return a task as it goes to its node: of what the process said, only what it may choose."""
        self._count += 1
        if said.task_id != f"{self._count:08d}" or said.node not in nodes or not 0 < said.ttl < math.inf:
            raise WireError("The ServerApp's process sent a task that is not one.")
        message_type, group = said.message_type[:MAX_SAID], said.group_id[:MAX_SAID]
        task = federation_pb2.Task(
            run_id=self._run_id,
            task_id=said.task_id,
            node=said.node,
            message_type=message_type,
            group_id=group,
            content=content,
            ttl=said.ttl,
        )
        number = checked_round(content, group)
        if self._sent_bytes + size > MAX_UNANSWERED_BYTES or len(self._sent) >= MAX_UNANSWERED_TASKS:
            raise RunFailedError("The app has more messages without a reply than may wait.")
        if len(self._sent) >= MAX_UNANSWERED * len(nodes):
            raise RunFailedError(f"The app has more than {MAX_UNANSWERED} messages for each node without a reply.")
        self._sent[said.task_id] = Sent(message_type, number, shapes, size)
        self._sent_bytes += size
        return task

    def _hand_over(self, asked: pb.Await, link: Link, watch: Watch) -> None:
        """Send the replies that are asked for, in the order of node ids, once they are checked and in the journal.

        Raises:
            RunFailedError: every node of the run has answered with an error, the last time it was asked.
        """
        started = time.perf_counter()
        known = self._sent.keys() >= set(asked.task_ids) and len(set(asked.task_ids)) == len(asked.task_ids)
        if not known or not asked.timeout >= 0:
            raise WireError("The ServerApp's process asked for replies that there cannot be.")
        replies, settled = self._replies(asked, link)
        sent = {one: self._answered(one) for one in settled}
        for reply in replies:
            if reply.WhichOneof("result") == "error":
                self._failing[reply.node] = reply.error.message
            else:
                self._failing.pop(reply.node, None)
        if asked.poll:
            self._send_replies(replies)
            return
        lost = bool(replies) and all(one.node in self._failing for one in replies) and self._all_fail()
        if not lost:
            self._send_replies(replies)
        seconds = time.perf_counter() - started if lost else self._batch_seconds(started)
        if sent:
            first = sent[asked.task_ids[0]]
            watch.batch(message_type=first.message_type, number=first.round, replies=replies, seconds=seconds)
        if lost:
            self._check_somebody_answers()

    def _replies(self, asked: pb.Await, link: Link) -> tuple[list[federation_pb2.Reply], list[str]]:
        """Return the replies to hand over, and the tasks that are done with: from the journal, or from the nodes."""
        replies = self._journal.recorded()
        if replies is not None:
            return replies, [one.task_id for one in replies] if asked.poll else list(asked.task_ids)
        limited = asked.HasField("timeout") and asked.timeout < MAX_WAIT
        if asked.poll:
            found = link.pull(asked.task_ids)
        else:
            found = link.wait(asked.task_ids, asked.timeout if limited else None)
        settled = list(found) if asked.poll else list(asked.task_ids)
        replies = _checked(found, self._sent, link)
        if settled:
            link.abandon(settled)
            self._journal.answer(replies, settled)
        return replies, settled

    def _all_fail(self) -> bool:
        return self._failing.keys() >= set(self._present)

    def _check_somebody_answers(self) -> None:
        """Raise RunFailedError if the last that was heard of every node was an error."""
        if self._all_fail():
            reasons = "; ".join(sorted(f"{name}: {said}" for name, said in self._failing.items()))
            raise RunFailedError("Every node answered with an error.", where=reasons[:2000])

    def _say_nodes(self, link: Link, known: int) -> None:
        """Tell the app which nodes the run has; one that asks for more than there are, again and again, is ended."""
        now = time.monotonic()
        self._asking_since = self._asking_since if self._asked else now
        self._asked += 1
        present = link.nodes()
        if self._asked > MAX_ASKED and now - self._asking_since > link.grace:
            raise RunFailedError(
                f"The app waits for more nodes than there are: {len(present)} of {known}.",
                where="; ".join(link.lost()) or "none is lost",
                next_step="Ask its strategy for fewer (min_available_nodes), or start the run with more.",
            )
        self._present = self._journal.nodes(present)
        self._write(pb.ServerAppRequest(nodes=pb.Nodes(names=self._present)))

    def _answered(self, task_id: str) -> Sent:
        sent = self._sent.pop(task_id)
        self._sent_bytes -= sent.size
        return sent

    def _send_replies(self, replies: Sequence[federation_pb2.Reply]) -> None:
        assert self._process.stdin is not None
        for reply in replies:  # the process is woken when its pipe is full, not by each of them
            self._process.stdin.write(encode_frame(pb.ServerAppRequest(reply=reply)))
        self._write(pb.ServerAppRequest(replies_end=pb.RepliesEnd()))

    def _batch_seconds(self, started: float) -> float:
        """Return how long a batch took: as the process says, which alone knows when it began, within reason."""
        frame = self._read()
        if frame.WhichOneof("frame") != "batch_done":
            raise WireError("The ServerApp's process sent a frame out of turn.")
        now = time.perf_counter()
        seconds = max(now - started, min(frame.batch_done.seconds, now - self._idle))
        self._idle = now
        return seconds

    def _write(self, frame: pb.ServerAppRequest) -> None:
        assert self._process.stdin is not None
        write_frame(self._process.stdin, frame)

    def _read(self) -> pb.ServerAppResponse:
        assert self._process.stdout is not None
        frame = read_frame(self._process.stdout, pb.ServerAppResponse)
        if frame is None:
            raise EOFError
        return frame

    def _lost(self, why: str) -> RunFailedError:
        self.close()
        return RunFailedError(
            f"The ServerApp was stopped: {self._guard.reason or why}.",
            next_step=f"The run's log has what it said: {self._log}",
        )

    def _failed(self, end: pb.ServerAppEnd) -> RunFailedError:
        """Return the error of an app that failed; what it says of itself is cut to what can be printed."""
        kind = end.failure if end.failure.isidentifier() else "an error"
        said = "".join(character for character in end.what if character.isprintable())[:MAX_SAID]
        return RunFailedError(
            said or f"The ServerApp failed ({kind[:100]}).", next_step=f"The run's log has the trace: {self._log}"
        )


def checked_round(content: records_pb2.RecordDict, group: str) -> str:
    """Return the round that a task belongs to, or its group.

    Raises:
        WireError: it looks like a number and is none, or one that is too long.
    """
    number = round_of(content) or group
    plain = number.isascii() and len(number) <= MAX_ROUND_DIGITS
    if len(number) > MAX_SAID or (number.isdigit() and not plain):
        raise WireError("The ServerApp's process sent a task whose round is not a number.")
    return number


def _checked(
    found: Mapping[str, federation_pb2.Reply], sent: Mapping[str, Sent], link: Link
) -> list[federation_pb2.Reply]:
    """Return replies in the order of node ids; one that no strategy could use is refused, and becomes an error."""
    replies = sorted(found.values(), key=lambda reply: (flower_id(reply.node), reply.task_id))
    alike: dict[str, list[federation_pb2.Reply]] = {}
    for reply in replies:
        if reply.WhichOneof("result") != "content":
            continue
        try:
            check_reply(sent[reply.task_id].shapes, reply.content, link.received)
        except WireError as error:
            _refuse(reply, error.what, link)
            continue
        kind = sent[reply.task_id].message_type
        if kind.partition(".")[0] in COMPARED:
            alike.setdefault(kind, []).append(reply)
    for batch in alike.values():
        for position in unlike_others([one.content for one in batch], sent[batch[0].task_id].shapes):
            _refuse(batch[position], UNLIKE, link)
    return replies


def _refuse(reply: federation_pb2.Reply, why: str, link: Link) -> None:
    """Have a reply that no strategy could use count as its node's failure."""
    link.refuse(reply, why)
    refused = federation_pb2.TaskError(code=federation_pb2.TASK_ERROR_CODE_BAD_REPLY, message=why)
    reply.error.CopyFrom(refused)


def _plain_files(folder: int, below: Path) -> list[tuple[str, int]]:
    """Return name and size of the plain files in an open folder; links, pipes and devices are left where they are."""
    found: list[tuple[str, int]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                found.append((str(below / entry.name), status.st_size))
            elif stat.S_ISDIR(status.st_mode) and len(below.parts) < MAX_DEPTH:
                inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                try:
                    found += _plain_files(inner, below / entry.name)
                finally:
                    os.close(inner)
            if len(found) > MAX_ARTIFACTS:
                break
    return sorted(found)
