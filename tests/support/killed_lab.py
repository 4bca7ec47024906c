"""A lab server that is killed (SIGKILL) at one step of its next write: the file ``HOME/kill-at`` names the step.

It is the lab server as it is; after the step the process is gone, as if the machine had lost power there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from catalog.publish import Publisher
from catalog.search.index import SearchIndex
from catalog.store import Change
from catalog.web import server
from datalab.home import Home
from datalab.service import run_service

STEPS: dict[str, tuple[type, str]] = {
    "inside a change": (Change, "event"),
    "after a change": (SearchIndex, "put"),
    "publish: intent": (Publisher, "begin"),
    "publish: files": (Publisher, "place"),
    "publish: lake": (Publisher, "commit"),
    "publish: version": (Publisher, "complete"),
    "publish: staging": (Publisher, "clear"),
}


def main(home: Home) -> None:
    """Serve a lab until the step."""
    for step, (owner, name) in STEPS.items():
        setattr(owner, name, _killed(home, step, getattr(owner, name)))
    server.main(home)


def _killed(home: Home, step: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def done(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        armed = home.path / "kill-at"
        if armed.exists() and armed.read_text() == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return done


if __name__ == "__main__":
    run_service(main)
