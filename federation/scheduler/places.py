"""Where parts of the lab run: on this machine, or as jobs of a cluster; started, looked at and ended in one way."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from catalog.progress import Standstill
from datalab.home import Home
from datalab.supervisor import Supervisor
from federation.run import RunFolder


@dataclass(frozen=True)
class Part:
    """A runner, or a compute node of the lab: ``python -m MODULE --home HOME``.

    Attributes:
        kind: under which it announces itself and logs in its home.
        module: what is run.
        home: its own folder, two below the lab's home; its key and its token lie there.
    """

    kind: Literal["runner", "node"]
    module: str
    home: Path

    @property
    def name(self) -> str:
        """The run's id, or the node's name."""
        return self.home.name

    @property
    def lab(self) -> Home:
        """The lab's home."""
        return Home(self.home.parents[1])


def runner_of(folder: RunFolder) -> Part:
    """Return the runner of a run that has been laid out."""
    return Part("runner", "federation.runner", folder.path.resolve())


def node_of(lab: Home, name: str) -> Part:
    """Return a compute node of a lab."""
    return Part("node", "federation.node.agent", lab.path.resolve() / "nodes" / name)


@dataclass(frozen=True)
class Delay:
    """Why a part that was started has not begun.

    Attributes:
        kind: of reason.
        said: the place's own words.
    """

    kind: Standstill
    said: str = ""


class Job(Protocol):
    """A part that was started."""

    @property
    def returncode(self) -> int | None:
        """With what it ended, as ``poll`` last saw it."""
        ...

    def poll(self) -> int | None:
        """Return with what it ended: 0 for success; None while it has not, or while nobody can tell."""
        ...

    def terminate(self) -> None:
        """Ask it to end; it may take a moment."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def wait(self) -> int:
        """Wait until it has ended, and return with what."""
        ...


class Place(Protocol):
    """A kind of place."""

    def start(self, part: Part) -> Job:
        """Start a part whose home has been laid out.

        Raises:
            DatalabError: the place does not take it.
        """
        ...

    def find(self, part: Part) -> Job | None:
        """Return the job of a part that another process has started here, and that nobody has let go of."""
        ...

    def delay(self, job: Job) -> Delay | None:
        """Return why a job that has not ended has not begun; None if it has, or nobody can tell."""
        ...

    def forget(self, part: Part, job: Job) -> None:
        """Let go of a job that has ended."""
        ...

    def leave(self, job: Job) -> None:
        """Let go of a job as this process ends."""
        ...


class LocalPlace:
    """Parts are processes of this machine, and end with this one."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def start(self, part: Part) -> subprocess.Popen[bytes]:
        """Start a part."""
        return self._supervisor.start(part.kind, part.module, Home(part.home), wait=False)

    def find(self, part: Part) -> None:
        """There is none: they have ended with whoever had started them."""

    def delay(self, job: Job) -> None:
        """There is none: a process begins at once."""

    def forget(self, part: Part, job: Job) -> None:
        """No longer mind it."""
        del part
        assert isinstance(job, subprocess.Popen), "it was started here"
        self._supervisor.forget(job)

    def leave(self, job: Job) -> None:
        """Kill it: what a runner has journaled and a node has recorded is enough to go on."""
        job.kill()
        job.wait()


def announced_no_more(part: Part) -> None:
    """Take back what a part has said about itself, which it may not have done in the end."""
    Home(part.home).withdraw(part.kind)
