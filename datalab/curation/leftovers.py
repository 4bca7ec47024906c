"""What a curation run that was killed leaves behind: data in its work folder, decrypted.

It is kept for a while, so that the next run over the same input takes it up. An erasure does not wait for that: it
removes all that lies about of a dataset.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORK = "work"
"""The folder, below a run's own, in which data lies while the run is at work."""
KEPT_SECONDS = 24 * 3600.0
"""For how long what a killed run has left is kept, for one that takes it up."""


@contextmanager
def in_use(work: Path) -> Iterator[None]:
    """Hold a work folder, which ``remove_leftovers`` then leaves alone; the hold ends with the process."""
    descriptor = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_in_use(work: Path) -> bool:
    """Whether a process holds a work folder: a run is at work there, whoever started it."""
    try:
        descriptor = os.open(work, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_leftovers(folder: Path) -> int:
    """Remove what killed runs have left for too long, below ``<folder>/<dataset>/<run>``; return how many."""
    removed = 0
    for work in folder.glob(f"*/*/{WORK}"):
        try:
            descriptor = os.open(work, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(descriptor).st_mtime > KEPT_SECONDS:
                shutil.rmtree(work)
                removed += 1
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
    return removed
