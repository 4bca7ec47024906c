"""Parts of the lab as batch jobs of Slurm; the lab's home lies on a file system that its machines share.

Nothing secret is in a job's script, arguments or environment: a part finds its one-time token, and then its key, in its
own folder, which nobody else may read.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field

import structlog

from catalog.progress import Standstill
from datalab.errors import ServiceFailedError
from datalab.home import Home, write_atomically
from datalab.service import python_module
from datalab.settings import Slurm
from federation.scheduler.commands import INTERVAL, KILLED, run
from federation.scheduler.places import Delay, Job, Part

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
_NUMBER = "slurm-job"
"""File in a part's home with the number of its job, for whoever comes after this process."""
log = structlog.get_logger()


class SlurmPlace:
    """Hands parts of the lab to Slurm.

    Args:
        settings: partition and account.
    """

    def __init__(self, settings: Slurm) -> None:
        self._settings = settings

    def start(self, part: Part) -> SlurmJob:
        """Submit a part's job.

        Raises:
            ServiceFailedError: Slurm does not take it, or does not answer.
        """
        script = part.home / "job.sh"
        write_atomically(script, job_script(part, self._settings).encode(), mode=0o700)
        said = slurm("sbatch", "--parsable", "--export=PATH,LANG", str(script))
        number = said.strip().partition(";")[0]
        if not number.isdigit():
            raise ServiceFailedError("Slurm took a job without saying its number.", where=said[:200])
        write_atomically(part.home / _NUMBER, number.encode())
        log.info("job submitted", part=part.name, job=number)
        return SlurmJob(number)

    def find(self, part: Part) -> SlurmJob | None:
        """Return a part's job, by the number in its home."""
        path = part.home / _NUMBER
        return SlurmJob(path.read_text(encoding="ascii")) if path.exists() else None

    def delay(self, job: Job) -> Delay | None:
        """Return why a job is still in Slurm's queue, with Slurm's word for it."""
        assert isinstance(job, SlurmJob), "it was started here"
        told = job.look()
        if told.get("JobState") != "PENDING":
            return None
        return Delay(Standstill.NO_ROOM, told.get("Reason", "").removeprefix("None"))

    def forget(self, part: Part, job: Job) -> None:
        """Forget its number."""
        del job
        (part.home / _NUMBER).unlink(missing_ok=True)

    def leave(self, job: Job) -> None:
        """Let it go on: a job does not need this process, and what it does is in its own hands."""


@dataclass
class SlurmJob:
    """A part's job."""

    number: str
    returncode: int | None = None
    _looked: float = field(default=0.0, repr=False)

    def poll(self) -> int | None:
        """Return with what it ended; None while it waits or runs, or while Slurm does not answer."""
        if self.returncode is None and time.monotonic() - self._looked >= INTERVAL:
            try:
                self.returncode = _exit_code(self.look())
            except ServiceFailedError as error:
                log.warning("Slurm does not answer", job=self.number, error=str(error))
            self._looked = time.monotonic()
        return self.returncode

    def terminate(self) -> None:
        """Send the part SIGTERM; one that has not begun is taken out of Slurm's queue."""
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

    def look(self) -> dict[str, str]:
        """Return what Slurm knows of it; nothing if it ended so long ago that Slurm has forgotten it.

        Raises:
            ServiceFailedError: Slurm does not answer.
        """
        said = slurm("scontrol", "--oneliner", "show", "job", self.number, missing=True)
        return dict(word.split("=", 1) for word in said.split() if "=" in word)


def _exit_code(told: dict[str, str]) -> int | None:
    if not told:
        return KILLED
    if told.get("JobState", "") not in _ENDED:
        return None
    code, _, signal = told.get("ExitCode", "").partition(":")
    if signal not in {"", "0"} or not code.isdigit():
        return KILLED
    return int(code) or (0 if told["JobState"] == "COMPLETED" else KILLED)


def job_script(part: Part, settings: Slurm) -> str:
    """Return what Slurm runs: the part, as the batch process itself, so that signals reach it."""
    output = Home(part.home).log_file(part.kind)
    options = {
        "job-name": f"datalab-{part.kind}-{part.name}",
        "output": str(output).replace("%", "%%"),
        "open-mode": "append",
        "chdir": str(part.home),
        "nodes": "1",
        "ntasks": "1",
        "no-requeue": None,  # it is the scheduler that starts a part again
        "partition": settings.partition,
        "account": settings.account,
    }
    lines = ["#!/bin/sh"]
    lines += [
        f"#SBATCH --{name}" + ("" if value is None else f"={shlex.quote(value)}")
        for name, value in options.items()
        if value is not None or name == "no-requeue"
    ]
    command = [*python_module(part.module), "--home", str(part.home)]
    return "\n".join([*lines, f"exec {shlex.join(command)}", ""])


def slurm(*command: str, missing: bool = False) -> str:
    """Run one of Slurm's commands and return what it says; "" where it does not know the job and that is no error.

    Raises:
        ServiceFailedError: it is not installed, fails, or takes too long.
    """
    next_step = "See that Slurm's commands are on this machine, and that slurmctld answers (scontrol ping)."
    return run(command, next_step, missing="invalid job id" if missing else None)
