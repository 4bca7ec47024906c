"""A curation run that is killed (SIGKILL) at one step, or held there (SIGSTOP) until it is told to go on.

The environment variable ``KILL_AT`` or ``HOLD_AT`` names the step.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from catalog.client import LabClient
from datalab.curation import progress
from datalab.curation.progress import STAGES
from datalab.storage.store import ObjectStore
from pipelines import run

STEPS = (
    *(f"{stage}: {state}" for stage in STAGES[1:] for state in ("running", "done")),
    "staged",
    "acknowledged",
)


def main() -> None:
    """Run until the step."""
    tell = progress.tell

    def told(folder: Any, stage: Any, state: Any, what: Any = None) -> None:
        tell(folder, stage, state, what)
        _reached(f"{stage}: {state}")

    setattr(progress, "tell", told)  # noqa: B010 - a module is no place for an assignment that mypy allows
    _after(ObjectStore, "put_file", "staged")
    _after(LabClient, "publish", "acknowledged")
    run.main()


def _after(owner: type, name: str, step: str) -> None:
    real: Callable[..., Any] = getattr(owner, name)

    def done(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        _reached(step)
        return result

    setattr(owner, name, done)


def _reached(step: str) -> None:
    for variable, sent in (("KILL_AT", signal.SIGKILL), ("HOLD_AT", signal.SIGSTOP)):
        if os.environ.get(variable) == step:
            del os.environ[variable]  # a step that is repeated is not held again
            os.kill(os.getpid(), sent)


if __name__ == "__main__":
    main()
