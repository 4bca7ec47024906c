"""``python -m tests.support.traced MODULE ARGUMENT…``: runs a module and notes when each task passes its stages.

The product knows nothing of it: functions are wrapped here, in this process. The times are of the machine's monotonic
clock, which all processes share; they are written to a file below ``DATALAB_TRACE`` when the process ends.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datalab import service, supervisor

FOLDER = "DATALAB_TRACE"
NO_JOURNAL = "DATALAB_TRACE_WITHOUT_JOURNAL"
SEEN: dict[str, dict[str, float]] = defaultdict(dict)
"""Times by task id, and by the name of what has happened."""


def note(task_id: str, what: str, seconds: float | None = None) -> None:
    """Note when something has happened to a task, or how many seconds it took."""
    SEEN[task_id][what] = time.monotonic() if seconds is None else seconds


def around(owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace a function by what ``wrap`` makes of it."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(wrap(original)))


def trace_gateway() -> None:
    """Note when a task and its reply have come to the gateway."""
    from federation.gateway.run import Run

    def task(accept: Any) -> Any:
        def accepted(self: Run, one: Any) -> None:
            note(one.task_id, "task at gateway")
            accept(self, one)

        return accepted

    def reply(accept: Any) -> Any:
        def accepted(self: Run, one: Any, node: str) -> Any:
            note(one.task_id, "reply at gateway")
            return accept(self, one, node)

        return accepted

    around(Run, "accept_task", task)
    around(Run, "accept_reply", reply)


def trace_node() -> None:
    """Note when a task has come to the node, was given to the worker and answered; and what audit and records take."""
    from datalab.audit.log import AuditLog
    from federation.node.recorded import Recorded
    from federation.node.runs import Runs
    from federation.node.worker import Worker

    def carry_out(original: Any) -> Any:
        async def carried_out(self: Runs, task: Any, send: Any) -> None:
            note(task.task_id, "task at node")
            await original(self, task, send)
            note(task.task_id, "reply sent")

        return carried_out

    def run(original: Any) -> Any:
        async def ran(self: Worker, task: Any, seconds: float) -> Any:
            note(task.task_id, "to worker")
            reply, state = await original(self, task, seconds)
            note(task.task_id, "from worker")
            note(task.task_id, "app", reply.app_seconds)
            return reply, state

        return ran

    def append(original: Any) -> Any:
        def appended(self: AuditLog, event: str, **details: Any) -> Any:
            began = time.monotonic()
            head = original(self, event, **details)
            if event == "task done":
                note(details["task"], "audit", time.monotonic() - began)
            return head

        return appended

    def add(original: Any) -> Any:
        def added(self: Recorded, task: Any, reply: Any, state: Any) -> None:
            began = time.monotonic()
            original(self, task, reply, state)
            note(task.task_id, RECORDED, time.monotonic() - began)

        return added

    around(Recorded, "add", add)
    around(Runs, "carry_out", carry_out)
    around(Worker, "run", run)
    around(AuditLog, "append", append)


def trace_runner() -> None:  # noqa: C901 - five wrappers, one after the other
    """Note when a batch is pushed, answered in full, and handed over; the batch's seconds in all, and the journal's."""
    from federation.runner.journal import RunJournal
    from federation.runner.link import Link
    from federation.runner.record import LabRecord
    from federation.runner.stage import Stage

    # Runs may have an object store, but no catalog.
    LabRecord.start = lambda self: None  # type: ignore[method-assign]  # noqa: ARG005
    LabRecord.finish = lambda self, folder, card, *, failed: None  # type: ignore[method-assign]  # noqa: ARG005

    handed_over: list[str] = []

    def push(original: Any) -> Any:
        def pushed(self: Link, tasks: Any) -> None:
            for one in (tasks := list(tasks)):
                note(one.task_id, "pushed")
            original(self, tasks)

        return pushed

    def receive(original: Any) -> Any:
        async def received(self: Link, reply: Any, outgoing: Any) -> None:
            note(reply.task_id, "reply at runner")
            await original(self, reply, outgoing)

        return received

    def wait(original: Any) -> Any:
        def waited(self: Link, task_ids: Any, timeout: float | None) -> Any:
            replies = original(self, task_ids, timeout)
            for one in task_ids:
                note(one, "all replies here")
            return replies

        return waited

    def send_replies(original: Any) -> Any:
        def sent(self: Stage, replies: Any) -> None:
            original(self, replies)
            handed_over[:] = [one.task_id for one in replies]
            for one in handed_over:
                note(one, "handed over")

        return sent

    def batch_seconds(original: Any) -> Any:
        def told(self: Stage, started: float) -> float:
            seconds: float = original(self, started)
            for one in handed_over:
                note(one, APP_PROCESS, seconds - (SEEN[one]["handed over"] - SEEN[one]["pushed"]))
            return seconds

        return told

    def journalled(original: Any) -> Any:
        def pushed(self: RunJournal, tasks: Any) -> Any:
            began = time.monotonic()
            left = original(self, tasks)
            for one in tasks:
                SEEN[one.task_id][JOURNAL] = time.monotonic() - began
            return left

        return pushed

    def answer(original: Any) -> Any:
        def answered(self: RunJournal, replies: Any, settled: Any) -> None:
            began = time.monotonic()
            original(self, replies, settled)
            for one in settled:
                SEEN[one][JOURNAL] += time.monotonic() - began

        return answered

    around(RunJournal, "push", journalled)
    around(RunJournal, "answer", answer)
    around(Link, "push", push)
    around(Link, "_receive", receive)
    around(Link, "wait", wait)
    around(Stage, "_send_replies", send_replies)
    around(Stage, "_batch_seconds", batch_seconds)


def without_journal() -> None:
    """Have journals keep nothing on the disk, to see what they cost."""
    from federation.journal import Journal

    kept: dict[tuple[int, int], bytes] = {}

    def append(self: Journal, record: bytes) -> int:
        kept[id(self), len(kept)] = record
        return len(kept) - 1

    Journal.append = append  # type: ignore[method-assign]
    Journal.read = lambda self, at: kept[id(self), at]  # type: ignore[method-assign]
    Journal.sync = lambda self: None  # type: ignore[method-assign]  # noqa: ARG005


APP_PROCESS = "ServerApp's process, encoding and decoding, and its pipe"
JOURNAL, RECORDED = "runner's journal, a batch", "node's record of a reply"
STAGES = (
    ("runner to gateway", "pushed", "task at gateway"),
    ("gateway to node", "task at gateway", "task at node"),
    ("node, with buffers fetched", "task at node", "to worker"),
    ("worker and pipe, with the app", "to worker", "from worker"),
    ("reply at node, with buffers and audit", "from worker", "reply sent"),
    ("node to gateway", "from worker", "reply at gateway"),
    ("gateway to runner", "reply at gateway", "reply at runner"),
    ("buffers to runner, and waiting for all nodes", "reply at runner", "all replies here"),
    ("check and hand over", "all replies here", "handed over"),
)
"""Name of a stage, and what it begins and ends with; ``reply at node`` lies within ``node to gateway``."""


@contextmanager
def processes(folder: Path, *, journal: bool = True) -> Iterator[None]:
    """Have the supervisor start gateway, nodes and runners traced; the traces go to ``folder``.

    Args:
        folder: for the traces.
        journal: whether runners and nodes keep what they have done on the disk, as they do.
    """
    plain = service.python_module

    def traced(module: str) -> list[str]:
        command = plain(module)
        return [*command[:-1], "tests.support.traced", module] if module in TRACES else command

    before = {name: os.environ.get(name) for name in (FOLDER, NO_JOURNAL, "PYTHONPATH")}
    os.environ[FOLDER] = str(folder)
    if not journal:
        os.environ[NO_JOURNAL] = "1"
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    supervisor.python_module = traced  # type: ignore[attr-defined]  # it has imported it from there
    try:
        yield
    finally:
        supervisor.python_module = plain  # type: ignore[attr-defined]
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def breakdown(folder: Path) -> dict[str, float]:
    """Return the median seconds of each stage, from the traces in ``folder``."""
    tasks: dict[str, dict[str, float]] = defaultdict(dict)
    for path in folder.glob("trace-*.json"):
        for task_id, seen in json.loads(path.read_bytes()).items():
            tasks[task_id] |= seen
    stages = {
        name: [seen[end] - seen[begin] for seen in tasks.values() if begin in seen and end in seen]
        for name, begin, end in STAGES
    }
    stages |= {
        name: [seen[name] for seen in tasks.values() if name in seen]
        for name in (APP_PROCESS, "app", "audit", JOURNAL, RECORDED)
    }
    return {name: statistics.median(seconds) for name, seconds in stages.items()}


TRACES: dict[str, Callable[[], None]] = {
    "federation.gateway.server": trace_gateway,
    "federation.node.agent": trace_node,
    "federation.runner": trace_runner,
}


def main() -> None:
    """Run the module that is named."""
    module = sys.argv[1]
    TRACES[module]()
    if NO_JOURNAL in os.environ:
        without_journal()
    sys.argv = sys.argv[1:]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        Path(os.environ[FOLDER], f"trace-{os.getpid()}.json").write_text(json.dumps(SEEN), encoding="utf-8")


if __name__ == "__main__":
    main()
