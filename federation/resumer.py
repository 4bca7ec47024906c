"""``python -m federation.resumer --home HOME``: takes up runs that have begun, not ended, and are conducted by nobody.

A run is conducted by whoever has started it; where that dies, or the whole lab did, the run is taken up here.
"""

from __future__ import annotations

import threading
import time

import structlog

from datalab.errors import DatalabError
from datalab.home import Home
from datalab.service import run_service
from datalab.supervisor import Supervisor
from federation import client
from federation.run import RunFolder

log = structlog.get_logger()

POLL = 1.0
"""Seconds between two looks. A run is without a process for as long before it is taken up: its starter may be at it."""


def main(home: Home) -> None:
    """Take up runs until SIGTERM; each once, as one that fails here again and again needs a person."""
    home.announce("resumer")
    log.info("ready")
    taken: dict[str, threading.Thread] = {}
    waiting: set[str] = set()
    try:
        while True:
            found = {one.path.name: one for one in client.interrupted(home) if one.path.name not in taken}
            for name in found.keys() & waiting:
                taken[name] = threading.Thread(target=_conduct, args=(found[name],), daemon=True)
                taken[name].start()
            waiting = set(found)
            time.sleep(POLL)
    finally:
        home.withdraw("resumer")


def _conduct(folder: RunFolder) -> None:
    log.info("taken up", run=folder.path.name)
    try:
        with Supervisor() as supervisor:
            for _ in client.conduct(folder, supervisor):
                pass  # they are in the run's own file
    except DatalabError as error:
        log.warning("the run did not complete", run=folder.path.name, error=str(error))
    except Exception as error:
        log.error("the run could not be conducted", run=folder.path.name, exc_info=error)


if __name__ == "__main__":
    run_service(main)
