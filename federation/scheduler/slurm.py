"""Runners as batch jobs of Slurm; the lab's home lies on a file system that its compute nodes share.

Nothing secret is in a job's script, arguments or environment: the runner finds its one-time token, and then its key, in
the run's own folder, which nobody else may read.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from datalab.errors import ServiceFailedError
from datalab.home import Home, write_atomically
from datalab.service import python_module
from datalab.settings import Slurm
from federation.run import RunFolder
from federation.scheduler.commands import INTERVAL, KILLED, run
from federation.scheduler.places import Runner

_ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
log = structlog.get_logger()


class SlurmPlace:
    """Hands runners to Slurm.

    Args:
        settings: partition and account.
    """

    def __init__(self, settings: Slurm) -> None:
        self._settings = settings

    def start(self, folder: RunFolder) -> SlurmJob:
        """Submit a runner's job.

        Raises:
            ServiceFailedError: Slurm does not take it, or does not answer.
        """
        script = folder.path / "job.sh"
        write_atomically(script, job_script(folder.path, self._settings).encode(), mode=0o700)
        said = slurm("sbatch", "--parsable", "--export=PATH,LANG", str(script))
        number = said.strip().partition(";")[0]
        if not number.isdigit():
            raise ServiceFailedError("Slurm took a job without saying its number.", where=said[:200])
        log.info("job submitted", run=folder.path.name, job=number)
        return SlurmJob(number)

    def forget(self, runner: Runner) -> None:
        """Nothing is kept of it here."""

    def leave(self, runner: Runner) -> None:
        """Let it go on: a job does not need this process, and its run is in its own hands."""


@dataclass
class SlurmJob:
    """A runner's job."""

    number: str
    returncode: int | None = None
    _looked: float = field(default=0.0, repr=False)

    def poll(self) -> int | None:
        """Return with what it ended; None while it waits or runs, or while Slurm does not answer."""
        if self.returncode is None and time.monotonic() - self._looked >= INTERVAL:
            try:
                self.returncode = self._look()
            except ServiceFailedError as error:
                log.warning("Slurm does not answer", job=self.number, error=str(error))
            self._looked = time.monotonic()
        return self.returncode

    def terminate(self) -> None:
        """Send the runner SIGTERM; one that has not begun is taken out of Slurm's queue."""
        slurm("scancel", "--state=PENDING", self.number, missing=True)
        slurm("scancel", "--batch", "--signal=TERM", self.number, missing=True)

    def kill(self) -> None:
        """End the job and all that it has started."""
        slurm("scancel", self.number, missing=True)

    def wait(self) -> int:
        """Wait until it has ended."""
        while (code := self.poll()) is None:
            time.sleep(INTERVAL)
        return code

    def _look(self) -> int | None:
        said = slurm("scontrol", "--oneliner", "show", "job", self.number, missing=True)
        if not said.strip():  # it ended so long ago that Slurm has forgotten it
            return KILLED
        told = dict(word.split("=", 1) for word in said.split() if "=" in word)
        if told.get("JobState", "") not in _ENDED:
            return None
        code, _, signal = told.get("ExitCode", "").partition(":")
        if signal not in {"", "0"} or not code.isdigit():
            return KILLED
        return int(code) or (0 if told["JobState"] == "COMPLETED" else KILLED)


def job_script(folder: Path, settings: Slurm) -> str:
    """Return what Slurm runs: the runner over a folder, as the batch process itself, so that signals reach it."""
    output = Home(folder).log_file("runner")
    options = {
        "job-name": f"datalab-{folder.name}",
        "output": str(output).replace("%", "%%"),
        "open-mode": "append",
        "chdir": str(folder),
        "nodes": "1",
        "ntasks": "1",
        "no-requeue": None,  # it is the scheduler that starts a runner again
        "partition": settings.partition,
        "account": settings.account,
    }
    lines = ["#!/bin/sh"]
    lines += [
        f"#SBATCH --{name}" + ("" if value is None else f"={shlex.quote(value)}")
        for name, value in options.items()
        if value is not None or name == "no-requeue"
    ]
    command = [*python_module("federation.runner"), "--home", str(folder)]
    return "\n".join([*lines, f"exec {shlex.join(command)}", ""])


def slurm(*command: str, missing: bool = False) -> str:
    """Run one of Slurm's commands and return what it says; "" where it does not know the job and that is no error.

    Raises:
        ServiceFailedError: it is not installed, fails, or takes too long.
    """
    next_step = "See that Slurm's commands are on this machine, and that slurmctld answers (scontrol ping)."
    return run(command, next_step, missing="invalid job id" if missing else None)
