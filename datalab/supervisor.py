"""Starts the parts of a lab as processes of their own, and stops every one it started."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from datalab.errors import DatalabError, NotFoundError, ServiceFailedError, error_of_child
from datalab.home import Home
from datalab.service import python_module

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
_POLL = 0.01


class Supervisor:
    """A context in which child processes live; leaving it, however that happens, stops them all.

    Children get a process group of their own, so that Ctrl-C reaches the supervisor alone and it can stop
    them in order, the last started first.
    """

    def __init__(self) -> None:
        self._running: list[tuple[str, Home, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(
        self,
        name: str,
        module: str,
        home: Home,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start ``python -m module --home HOME …`` and wait until it has announced itself.

        Args:
            name: the name under which the process announces itself in ``home``.
            module: the module to run.
            home: its home; output goes to the log file of ``name`` there.
            arguments: further arguments; never secrets.
            environment: variables on top of this process's own.
            wait: False returns at once; call ``wait_ready`` later.

        Raises:
            DatalabError: one runs there already, or the process ended before it was ready, with its own exit code.
        """
        _check_not_running(name, home)
        home.withdraw(name)
        with home.log_file(name).open("ab") as log:
            child = subprocess.Popen(
                [*python_module(module), "--home", str(home.path), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                process_group=0,
            )
        self._running.append((name, home, child))
        if wait:
            self.wait_ready(name, home)
        return child

    def wait_ready(self, name: str, home: Home) -> None:
        """Wait until the process started as ``name`` in ``home`` has announced itself (raises as ``start``)."""
        child = next(child for other, at, child in self._running if other == name and at == home)
        deadline = time.monotonic() + READY_TIMEOUT
        while not (home.path / "run" / f"{name}.json").exists():
            if child.poll() is not None:
                raise _ended(name, home, child.returncode)
            if time.monotonic() > deadline:
                raise ServiceFailedError(
                    f"The {name} was not ready within {READY_TIMEOUT:.0f} seconds.",
                    next_step=f"Its log is {home.log_file(name)}.",
                )
            time.sleep(_POLL)

    def check(self) -> None:
        """Raise if a process that should be running has ended."""
        for name, home, child in self._running:
            if child.poll() is not None:
                raise _ended(name, home, child.returncode)

    def forget(self, child: subprocess.Popen[bytes]) -> None:
        """Wait for a process that ends as it should, and no longer mind it."""
        child.wait()
        self._running = [one for one in self._running if one[2] is not child]

    def stop(self, name: str) -> None:
        """Stop the processes called ``name``: SIGTERM, then SIGKILL after ``STOP_TIMEOUT`` seconds."""
        chosen = [one for one in self._running if one[0] == name]
        self._running = [one for one in self._running if one[0] != name]
        for one in chosen:
            _stop(*one)

    def stop_all(self) -> None:
        """Stop every process, the last started first."""
        while self._running:
            _stop(*self._running.pop())


def _check_not_running(name: str, home: Home) -> None:
    """Raise ServiceFailedError if another process has announced itself there and is alive."""
    try:
        process = int(home.address(name)["pid"])
        os.kill(process, 0)
    except (NotFoundError, ProcessLookupError):
        return
    raise ServiceFailedError(
        f"The {name} is already running in {home.path} (process {process}).",
        next_step="Use it, or stop what started it.",
    )


def _stop(name: str, home: Home, child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    home.withdraw(name)


def _ended(name: str, home: Home, code: int) -> DatalabError:
    log = home.log_file(name)
    output = log.read_text(encoding="utf-8", errors="replace")
    return error_of_child(output, code, f"The {name} ended unexpectedly (exit code {code}); its log is {log}.")
