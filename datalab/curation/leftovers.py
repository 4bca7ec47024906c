"""What a curation run that was killed leaves behind: data in its work folder, decrypted."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORK = "work"
"""The folder, below a run's own, in which data lies while the run is at work."""


@contextmanager
def in_use(work: Path) -> Iterator[None]:
    """Hold a work folder, which ``remove_leftovers`` then leaves alone; the hold ends with the process."""
    descriptor = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> int:
    """Remove the work folders of runs that are over, below ``<folder>/<dataset>/<run>``; return how many."""
    removed = 0
    for work in folder.glob(f"*/*/{WORK}"):
        try:
            descriptor = os.open(work, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(work)
            removed += 1
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
    return removed
