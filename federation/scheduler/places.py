"""Where a runner runs: on this machine, or as a job of a cluster; started, looked at and ended in one way."""

from __future__ import annotations

import subprocess
from typing import Protocol

from datalab.home import Home
from datalab.supervisor import Supervisor
from federation import client
from federation.run import RunFolder


class Runner(Protocol):
    """A runner that was started."""

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
    """A kind of place for runners."""

    def start(self, folder: RunFolder) -> Runner:
        """Start the runner of a run that has been laid out.

        Raises:
            DatalabError: the place does not take it.
        """
        ...

    def forget(self, runner: Runner) -> None:
        """Let go of a runner that has ended."""
        ...

    def leave(self, runner: Runner) -> None:
        """Let go of a runner as this process ends: its run is gone on with later."""
        ...


class LocalPlace:
    """Runners are processes of this machine, and end with this one."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def start(self, folder: RunFolder) -> subprocess.Popen[bytes]:
        """Start a runner."""
        return client.start(folder, self._supervisor)

    def forget(self, runner: Runner) -> None:
        """No longer mind it."""
        assert isinstance(runner, subprocess.Popen), "it was started here"
        self._supervisor.forget(runner)

    def leave(self, runner: Runner) -> None:
        """Kill it: what it has journaled is enough to go on."""
        runner.kill()
        runner.wait()


def announced_no_more(folder: RunFolder) -> None:
    """Take back what a runner has said about itself, which it may not have done in the end."""
    Home(folder.path).withdraw("runner")
