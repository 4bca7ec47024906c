"""Runs of one dataset come one after the other; what a killed run had done is taken up by the next one.

A run keeps what it works on in the folder ``work`` of its own folder, with ``begun.json`` that says what it works on.
The folder goes when the run ends, however it ends; a folder that is there while nobody holds the dataset's lock is what
a killed run has left. The next run over the same input takes it over; one that nobody asks for in time goes
(``datalab.curation.leftovers``).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from datalab.curation import progress
from datalab.curation.engine import REJECTS, REPORT
from datalab.curation.leftovers import WORK, in_use
from datalab.home import Home, write_atomically

LINEAGE = "lineage.jsonl"
_BEGUN = "begun.json"


class Begun(BaseModel):
    """What a run works on.

    Attributes:
        upload: the raw file in the catalog.
        contract: digest of the contract.
        number: of the version that it is to become.
        intent: under which it is published; that of the run that began it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload: str
    contract: str
    number: int
    intent: str


@contextmanager
def one_at_a_time(home: Home, dataset: str) -> Iterator[None]:
    """Hold up all other runs of a dataset, in whatever process; a process that is killed lets go."""
    path = home.folder("locks") / f"curation-{dataset}"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def at_work(home: Home, run: str) -> Iterator[None]:
    """Hold a Dagster run's own lock while it is at work, so that ``is_at_work`` tells it from one that was killed."""
    path = home.folder("locks") / f"run-{run}"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        path.unlink(missing_ok=True)


def is_at_work(home: Home, run: str) -> bool:
    """Whether a process holds the lock of a run."""
    path = home.folder("locks") / f"run-{run}"
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    path.unlink(missing_ok=True)
    return False


@contextmanager
def lend_folder(folder: Path, begun: Begun) -> Iterator[tuple[Begun, tuple[progress.Stage, ...]]]:
    """Lend the folder of a run; on leaving, what holds data goes: rejects and report hold no value.

    Args:
        folder: of the run; those of the dataset's other runs are beside it, and its lock is held.
        begun: what it works on.

    Yields:
        what it works on, and the stages that need not be done again.
    """
    try:  # from the first on: a run may be told to stop at any time
        found = _take_over(folder, begun)
        if found is None:
            (folder / WORK).mkdir(mode=0o700)
            found = begun, ()
        write_atomically(folder / WORK / _BEGUN, found[0].model_dump_json().encode())
        with in_use(folder / WORK):
            yield found
    finally:
        if (folder / WORK).exists():
            shutil.rmtree(folder / WORK)


def remove_published(folder: Path, intent: str | None) -> None:
    """Remove the work of a run that was killed after its version was published: nobody has to take it up.

    Args:
        folder: of a run of the dataset, whose lock is held.
        intent: under which the version was published.
    """
    for path in folder.parent.glob(f"*/{WORK}"):
        left = _read(path / _BEGUN)
        if left is not None and left.intent == intent:
            shutil.rmtree(path)


def _take_over(folder: Path, begun: Begun) -> tuple[Begun, tuple[progress.Stage, ...]] | None:
    """Move the work of a killed run over the same input here."""
    for path in sorted(folder.parent.glob(f"*/{WORK}")):
        other = path.parent
        same = begun.model_dump(include={"upload", "contract", "number"})
        left = _read(path / _BEGUN)
        if left is None or left.model_dump(include=set(same)) != same:
            continue
        done = _finished(progress.read(other))
        if other != folder:
            path.rename(folder / WORK)
            for name in (REJECTS, REPORT, LINEAGE):
                if (other / name).exists():
                    shutil.copyfile(other / name, folder / name)
            for stage in done:
                progress.tell(folder, stage, "done", progress.read(other).steps[stage].told)
        return left, done
    return None


def _finished(told: progress.Progress) -> tuple[progress.Stage, ...]:
    """Return the stages that another one has followed: only then have the checks that block been passed, too."""
    begun = [stage for stage in progress.STAGES if stage in told.steps and stage != "received"]
    return tuple(stage for stage in begun[:-1] if told.steps[stage].state == "done")


def _read(path: Path) -> Begun | None:
    try:
        return Begun.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
