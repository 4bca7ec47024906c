"""Giving back the bytes of deleted objects: the embedded server only notes that they are deleted, until it compacts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from datalab.errors import ServiceFailedError
from datalab.home import Home

_TIMEOUT = 600.0
_ATTEMPTS = 60


def compact(home: Home) -> bool:
    """Have the embedded object store of ``home`` overwrite what was deleted; False where the store is another's.

    Raises:
        NotFoundError: the object store is not running.
        ServiceFailedError: it did not do so; what was deleted may still be in its files.
    """
    at = home.address("object-store")
    if "master" not in at:
        return False
    for _ in range(_ATTEMPTS):  # objects are deleted first, and their bytes by a task of the server's a moment later
        if "no orphan data" in _shell(home, at, "volume.fsck -cutoffTimeAgo=0s"):
            break
    else:
        raise ServiceFailedError("The object store has not deleted what it was told to.", next_step="Try again.")
    _shell(home, at, "volume.vacuum -garbageThreshold=0.0000001")
    return True


def _shell(home: Home, at: dict[str, str], command: str) -> str:
    private = home.path / "secrets" / "object-store"
    run = [str(Path(sys.executable).parent / "weed"), f"-config_dir={private}", "shell"]
    done = subprocess.run(
        [*run, f"-master={at['master']}", f"-filer={at['filer']}"],
        input=f"lock\n{command}\nunlock\nexit\n",
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
        env={"PATH": os.defpath, "HOME": str(private)},
    )
    said = done.stdout + done.stderr
    if done.returncode or "error:" in said.lower():
        raise ServiceFailedError(
            f"The object store did not carry out {command.split(maxsplit=1)[0]}.",
            next_step="See its log; what was deleted may still be in its files.",
        )
    return said
