"""Where runners run: one interface, for now with processes on this machine."""

from __future__ import annotations

import subprocess
import time
from typing import Protocol

from datalab.errors import DatalabError
from datalab.home import Home
from datalab.supervisor import Supervisor
from federation import client
from federation.run import RunFolder

GRACE = 20.0
"""Seconds that a runner has to end by itself once it is told to stop; its nodes are told at once."""


class Executor(Protocol):
    """Starts, watches and stops runners."""

    def start(self, folder: RunFolder) -> None:
        """Start the runner of a run that has been laid out."""
        ...

    def known(self) -> list[str]:
        """Return the runs whose runners have not been reaped."""
        ...

    def stop(self, run: str) -> None:
        """Tell a runner to end; it may take a moment, and is ended by force if it takes too long."""
        ...

    def reap(self) -> dict[str, DatalabError | None]:
        """Return the runs whose runners have ended since the last time, with what they ended with."""
        ...


class LocalExecutor:
    """Runners are processes of this machine; they end with the supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._runners: dict[str, tuple[RunFolder, subprocess.Popen[bytes]]] = {}
        self._told: dict[str, float] = {}

    def start(self, folder: RunFolder) -> None:
        """Start the runner of a run that has been laid out."""
        self._runners[folder.path.name] = (folder, client.start(folder, self._supervisor))

    def known(self) -> list[str]:
        """Return the runs whose runners have not been reaped."""
        return sorted(self._runners)

    def stop(self, run: str) -> None:
        """Tell a runner to end; it is killed if that takes too long."""
        _, runner = self._runners[run]
        if run not in self._told:
            self._told[run] = time.monotonic()
            runner.terminate()
        elif time.monotonic() - self._told[run] > GRACE:
            runner.kill()

    def reap(self) -> dict[str, DatalabError | None]:
        """Return the runs whose runners have ended since the last time, with what they ended with."""
        ended: dict[str, DatalabError | None] = {}
        for run, (folder, runner) in list(self._runners.items()):
            if (code := runner.poll()) is None:
                continue
            ended[run] = None if code == 0 else client.failure(folder, code)
            self._supervisor.forget(runner)
            Home(folder.path).withdraw("runner")
            del self._runners[run]
            self._told.pop(run, None)
        return ended
