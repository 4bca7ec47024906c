"""What waits in the runner to be sent, and which runs the lab looks at again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from datalab.home import Home
from federation import client
from federation.pb import federation_pb2 as pb
from federation.run import RunFolder
from federation.runner.link import Link, Outgoing
from federation.wire.buffers import BufferStore


class Taken:
    """A stream that takes what is written."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    async def write(self, frame: bytes) -> None:
        self.frames.append(frame)

    async def finish(self) -> None:
        """Nothing more comes."""


def test_a_task_that_its_app_has_abandoned_is_not_sent(tmp_path: Path) -> None:
    endpoint = cast("Any", SimpleNamespace(credentials=None))
    link = Link(endpoint, lambda _: pb.RunOpen(), b"", BufferStore(tmp_path), 0, lambda *_, **__: None)
    stream = Taken()

    async def send() -> None:
        outgoing: Outgoing = asyncio.Queue()
        link._outgoing = outgoing
        link._roll._here.add("n")
        link._push([pb.Task(task_id=str(number), node="n") for number in range(3)])
        link._unanswered.pop("1")  # as Link.abandon does, in this thread
        outgoing.put_nowait(None)
        await link._write(cast("Any", stream), outgoing)

    asyncio.run(send())
    assert [pb.ConductRequest.FromString(one).task.task_id for one in stream.frames] == ["0", "2"]


def test_a_run_that_has_ended_is_not_looked_at_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in ("begun", "ended", "ending"):
        folder = RunFolder(home.folder("runs", name))
        for file in (folder.spec, folder.events):
            file.touch()
    RunFolder(home.path / "runs" / "ended").card.touch()
    ending = RunFolder(home.path / "runs" / "ending")
    for file in (ending.card, ending.journal):  # its end is not on record yet
        file.touch()
    ended: set[str] = set()
    assert [one.path.name for one in client.interrupted(home, ended)] == ["begun", "ending"]
    assert ended == {"ended"}
    ending.journal.unlink()
    assert [one.path.name for one in client.interrupted(home, ended)] == ["begun"]
    assert ended == {"ended", "ending"}
