"""Work that the lab server does again and again beside its requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from datalab.errors import DatalabError

_log = structlog.get_logger()


@contextmanager
def periodically(name: str, seconds: float, work: Callable[[], object], *, last: bool = False) -> Iterator[None]:
    """Do some work while the block runs: at its start, then every so many seconds; at its end too if it is to be.

    An error of ours is logged and the work tried again at its next time: the lab goes on.
    """
    stopped = threading.Event()

    def attempt() -> None:
        try:
            work()
        except DatalabError as error:
            _log.error("periodic work failed", work=name, error=str(error))
        except Exception as error:  # noqa: BLE001 - the thread must not end; the log has the trace
            _log.error("periodic work failed", work=name, exc_info=error)

    def keep_on() -> None:
        attempt()
        while not stopped.wait(seconds):
            attempt()
        if last:
            attempt()

    thread = threading.Thread(target=keep_on, name=name)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
