"""Commands of the systems that runners are handed to."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from datalab.errors import ServiceFailedError

TIMEOUT = 30.0
"""Seconds that a command may take."""
INTERVAL = 0.5
"""Seconds between two looks at a job."""
KILLED = 137
"""Exit code of a job that did not come to its end by itself."""


def run(command: Sequence[str], next_step: str, *, standard_input: str = "", missing: str | None = None) -> str:
    """Run a command and return what it says.

    Args:
        command: program and arguments; no secrets.
        next_step: what to do where it fails.
        standard_input: what it reads.
        missing: what it says, in lower case, where a job is not there and that is no error; then "" is returned.

    Raises:
        ServiceFailedError: it is not installed, fails, or takes too long.
    """
    try:
        done = subprocess.run(
            command, input=standard_input, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceFailedError(f"{command[0]} cannot be run: {type(error).__name__}.", next_step=next_step) from error
    if done.returncode != 0:
        if missing is not None and missing in done.stderr.lower():
            return ""
        said = done.stderr.strip().splitlines()
        raise ServiceFailedError(
            f"{command[0]} failed: {said[-1][:300] if said else f'exit code {done.returncode}'}", next_step=next_step
        )
    return done.stdout
