"""Keeps runners going, wherever they run (``federation.scheduler.places``): starts, restarts and stops them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from catalog.progress import STANDSTILL, Standstill
from datalab.errors import DatalabError
from datalab.home import write_atomically
from federation import client
from federation.run import RunFolder
from federation.scheduler.places import Job, Place, announced_no_more, runner_of

GRACE = 20.0
"""Seconds that a runner has to end by itself once it is told to stop; its nodes are told at once."""

LOOK = 5.0
"""Seconds between two looks at why a runner has not begun."""
HOPELESS = 600.0
"""For so long it may be that a cluster cannot start a runner; then its run has failed. Room is waited for."""
_HOPELESS_KINDS = (Standstill.NO_IMAGE, Standstill.NOT_STARTED)
STOPPED = "The run was stopped before its end."
log = structlog.get_logger()


class Executor(Protocol):
    """Starts, watches and stops runners."""

    def start(self, folder: RunFolder) -> None:
        """Start the runner of a run that has been laid out, or take up one that was interrupted."""
        ...

    def known(self) -> list[str]:
        """Return the runs that are in hand."""
        ...

    def stop(self, run: str) -> None:
        """Tell a runner to end; it may take a moment, and is ended by force if it takes too long."""
        ...

    def reap(self) -> dict[str, DatalabError | None]:
        """Return the runs that have ended since the last time, with what they ended with."""
        ...

    def leave(self) -> None:
        """End all runners without ending their runs, which are taken up again later."""
        ...


@dataclass
class _InHand:
    """A run and its runner; None while it waits to be started again.

    Attributes:
        holding: what says to others that the run is in hand.
        restarts: says whether and when one is started again.
        again: when the next one is started.
        told: when it was told to stop.
        looked: when it was last looked at why its runner has not begun.
        stuck: since when the cluster cannot start it.
        ending: what is put on record of a run that is stopped.
    """

    folder: RunFolder
    holding: ExitStack
    restarts: client.Restarts
    runner: Job | None = None
    again: float = field(default_factory=time.monotonic)
    told: float | None = None
    looked: float = float("-inf")
    stuck: float | None = None
    ending: str = STOPPED


class PlacedExecutor:
    """Runners are where a place has them; one that dies is started again, and goes on where its run was."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._runs: dict[str, _InHand] = {}

    def start(self, folder: RunFolder) -> None:
        """Start the runner of a run that has been laid out, or take up one that was interrupted."""
        holding = ExitStack()
        holding.enter_context(folder.keeping())
        self._runs[folder.path.name] = one = _InHand(folder, holding, client.Restarts(folder))
        self._start(one)

    def known(self) -> list[str]:
        """Return the runs that are in hand."""
        return sorted(self._runs)

    def stop(self, run: str) -> None:
        """Tell a runner to end; it is killed if that takes too long."""
        one = self._runs[run]
        if one.told is None:
            one.told = time.monotonic()
            if one.runner is not None:
                one.runner.terminate()
        elif one.runner is not None and time.monotonic() - one.told > GRACE:
            one.runner.kill()

    def reap(self) -> dict[str, DatalabError | None]:
        """Return the runs that have ended since the last time, with what they ended with."""
        ended: dict[str, DatalabError | None] = {}
        for run, one in list(self._runs.items()):
            if one.runner is None:
                if one.told is not None:
                    client.give_up(one.folder, one.ending)
                    ended[run] = None
                elif time.monotonic() >= one.again:
                    self._start(one)
            elif one.runner.poll() is not None:
                error = self._reaped(one, one.runner)
                if not one.folder.unfinished:
                    ended[run] = error
            elif not one.folder.events.exists():
                self._look(one)
            if run in ended:
                one.holding.close()
                del self._runs[run]
        return ended

    def leave(self) -> None:
        """Let go of all runners; what they have journaled is enough to go on."""
        for one in self._runs.values():
            if one.runner is not None:
                self._place.leave(one.runner)
            one.holding.close()
        self._runs.clear()

    def _start(self, one: _InHand) -> None:
        one.restarts.starting()
        one.runner = self._place.start(runner_of(one.folder))

    def _look(self, one: _InHand) -> None:
        """Say in the run's folder why its runner has not begun; one that a cluster cannot start is given up in time."""
        now = time.monotonic()
        if one.runner is None or now - one.looked < LOOK:
            return
        one.looked = now
        try:
            delay = self._place.delay(one.runner)
        except DatalabError as error:
            log.warning("nobody can tell why a runner has not begun", run=one.folder.path.name, error=str(error))
            return
        if delay is None:
            one.folder.delay.unlink(missing_ok=True)
            one.stuck = None
            return
        write_atomically(one.folder.delay, f"{delay.kind} {' '.join(delay.said.split())[:500]}".encode())
        one.stuck = one.stuck or now if delay.kind in _HOPELESS_KINDS else None
        if one.stuck is not None and now - one.stuck > HOPELESS:
            one.ending = f"It could not be started. {STANDSTILL[delay.kind]} {delay.said}"[:1000].strip()
            self.stop(one.folder.path.name)

    def _reaped(self, one: _InHand, runner: Job) -> DatalabError | None:
        """Take note of the end of a runner, and decide what becomes of its run; return what the runner ended with."""
        part = runner_of(one.folder)
        self._place.forget(part, runner)
        announced_no_more(part)
        one.folder.delay.unlink(missing_ok=True)
        code = runner.returncode or 0
        error = None if code == 0 else client.failure(one.folder, code)
        if one.told is not None and one.folder.unfinished:
            client.give_up(one.folder, one.ending)
        elif (wait := one.restarts.ended(error.what if error else "Its log says no more.")) is not None:
            one.again = time.monotonic() + wait
        one.runner = None  # not before: where the end could not be put on record, that is tried again
        return error
