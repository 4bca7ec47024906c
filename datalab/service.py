"""What every service process does the same way: arguments, log, readiness, and a clean end.

A service is a module with a ``main(home)`` run as ``python -m <module> --home HOME``. It announces itself in
its home when it is ready (see ``datalab.home``), ends on SIGTERM, and ends when the process that started it does.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from datalab.errors import DatalabError, PortTakenError
from datalab.home import Home
from datalab.lean import structlog

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 4 << 20
_MADV_DONTNEED = 4


@dataclass(frozen=True)
class Service:
    """A long-running part of a lab.

    Attributes:
        name: its name in ``run/``, ``log/`` and messages.
        module: what to start with ``python -m``.
        requires: names of the services that must be ready before it.
    """

    name: str
    module: str
    requires: tuple[str, ...] = ()


def python_module(module: str) -> list[str]:
    """Return the start of a command that runs a module of ours as a process of its own.

    ``-P`` keeps the working folder off the import path: a folder there called ``federation`` is not ours.
    """
    return [sys.executable, "-P", "-m", module]


def installed_services() -> list[Service]:
    """Return the services of the installed packages (entry points ``datalab.services``), dependencies first.

    Raises:
        DatalabError: two services need each other, or one needs a service that is not installed.
    """
    waiting = {found.name: found for found in (point.load() for point in entry_points(group="datalab.services"))}
    ordered: list[Service] = []
    while waiting:
        done = {service.name for service in ordered}
        ready = sorted(name for name, service in waiting.items() if done.issuperset(service.requires))
        if not ready:
            raise DatalabError(f"These services wait for each other, or for a missing one: {sorted(waiting)}.")
        ordered += [waiting.pop(name) for name in ready]
    return ordered


def run_service(main: Callable[[Home], None]) -> None:
    """Run ``main`` as a service process: parse ``--home``, log JSON lines to stderr, turn errors into exit codes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    home = Home(parser.parse_args().home)
    os.umask(0o077)  # what a service writes is its owner's alone
    die_with_parent()
    keep_freed_memory()
    log_json_lines()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        main(home)
    except DatalabError as error:
        structlog.get_logger().error("stopped", error=str(error))
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the supervisor reads this last line
        sys.exit(error.exit_code)


def die_with_parent() -> None:
    """Ask the kernel to send SIGTERM to this process when its parent dies, however that happens (Linux)."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        sys.exit(0)


def keep_freed_memory() -> None:
    """Have glibc keep up to 4 MB that were freed: pieces of buffers are allocated and freed all the time.

    By default it gives each piece back to the kernel, which has to clear the pages of the next one. All threads share
    what is kept: one of their own each would be memory that nobody uses.
    """
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_ARENA_MAX, 1)


def give_memory_back() -> None:
    """Give back what only starting has needed: a service that waits should weigh what it needs.

    That is memory that was freed, and the pages of libraries' code; what is called again of it is mapped again from the
    file, as after any shortage of memory.
    """
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        addresses, permissions, *_, path = line.split(maxsplit=5)
        if permissions == "r-xp" and path.startswith("/"):  # code is never written to, so nothing is lost
            start, end = (int(address, 16) for address in addresses.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


class _Stderr:
    """The standard error; what it does not take, as on a full disk, is lost, and whoever logs goes on."""

    def write(self, text: str) -> None:
        """Write what can be written."""
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def log_to_standard_error() -> None:
    """Log to stderr, as people read it: what a command prints is on stdout alone."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def log_json_lines() -> None:
    """Log structured JSON lines to stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(_Stderr()),  # type: ignore[arg-type]  # it writes and flushes
        cache_logger_on_first_use=True,
    )


def check_port(service: str, host: str, port: int, *, setting: str = "[ports] in datalab.toml") -> None:
    """Raise PortTakenError, which names the setting, if ``port`` cannot be listened on; 0 is always fine.

    The service binds it a moment later: this only makes the usual mistake a clear sentence.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTakenError(
                f"The {service} cannot listen on {host}:{port}: {error.strerror}.",
                next_step=f"Stop what uses the port, or set another one under {setting}.",
            ) from error


def free_ports(host: str, count: int) -> list[int]:
    """Return ``count`` distinct ports that are free now, for programs that cannot choose one themselves."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for one in sockets:
            one.bind((host, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
