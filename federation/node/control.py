"""Stopping a node, from its own machine and with nobody's help: gently, or at once and for good."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from datalab.audit.log import AuditLog
from datalab.errors import NotFoundError, RefusedError, ServiceFailedError
from datalab.home import Home, write_atomically
from federation.node.status import Status, read_status, start_ticks

MARK = "stopped"
"""File in the home that keeps the node from being started."""
RENEW_SIGNAL = signal.SIGUSR1
STOP_SECONDS = 45.0
KILL_SECONDS = 10.0
RENEW_SECONDS = 30.0


def check_may_start(home: Home) -> None:
    """Raise if an agent must not be started here.

    Raises:
        RefusedError: the node was stopped with its kill switch and not released since.
        ServiceFailedError: an agent runs in this home; two of one name would throw each other out at the gateway.
    """
    with contextlib.suppress(NotFoundError):  # none has ever run here
        status = read_status(home)
        if status.state != "ended" and status.pid != os.getpid():
            raise ServiceFailedError(
                f"The node is already running in {home.path} (process {status.pid}).",
                next_step=f"Use it, or stop it first: datalab node stop --home {home.path}",
            )
    path = home.path / MARK
    if path.exists():
        raise RefusedError(
            "This node was stopped for good with `datalab node stop --now`.",
            where=str(path),
            next_step=f"Release it with: datalab node start --home {home.path} --resume",
        )


def release(home: Home) -> None:
    """Take back the kill switch; the audit log says so."""
    if (home.path / MARK).exists():
        AuditLog(home.path / "audit.jsonl").append("node released", uid=os.getuid())
        (home.path / MARK).unlink()


def stop(home: Home) -> None:
    """Tell the agent to stop, and wait until it has: it takes nothing new, and ends what is under way.

    Raises:
        NotFoundError: no agent runs in this home.
        ServiceFailedError: it does not end in time.
    """
    status = _running(home)
    handle = _open(status)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], STOP_SECONDS)[0]:
            raise ServiceFailedError(
                f"The agent has not ended within {STOP_SECONDS:.0f} seconds.",
                next_step=f"Stop it at once with: datalab node stop --now --home {home.path}",
            )
    finally:
        os.close(handle)


def stop_now(home: Home) -> int:
    """Kill the agent and every process that it has started, and keep the node from starting again.

    Needs neither the gateway nor an agent that answers.

    Returns:
        How many processes were killed.
    """
    mark = {"stopped": datetime.now(UTC).isoformat(timespec="seconds"), "uid": os.getuid()}
    write_atomically(home.path / MARK, json.dumps(mark).encode())
    killed = 0
    try:
        status = _running(home)
    except NotFoundError:
        status = None
    if status is not None:
        family = [(status.pid, status.started), *_descendants(status.pid)]
        handles = [handle for pid, ticks in family if (handle := _handle(pid, ticks)) is not None]
        try:
            for handle in handles:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                killed += 1
            _await(handles)
        finally:
            for handle in handles:
                os.close(handle)
    home.withdraw("node")
    AuditLog(home.path / "audit.jsonl").append("node stopped at once", uid=os.getuid(), processes=killed)
    return killed


def renew_now(home: Home) -> None:
    """Have the agent renew its certificate, and wait until it has.

    Raises:
        NotFoundError: no agent runs in this home.
        ServiceFailedError: it could not renew it, or not in time.
    """
    before = _running(home)
    handle = _open(before)
    try:
        signal.pidfd_send_signal(handle, RENEW_SIGNAL)
        deadline = time.monotonic() + RENEW_SECONDS
        while time.monotonic() < deadline:
            now = read_status(home)
            if now.serial != before.serial:
                return
            if now.renewal_failure not in ("", before.renewal_failure):
                raise ServiceFailedError(f"The certificate was not renewed at {now.renewal_failure}")
            time.sleep(0.1)
    finally:
        os.close(handle)
    raise ServiceFailedError(
        f"The certificate was not renewed within {RENEW_SECONDS:.0f} seconds.",
        where=str(home.log_file("node")),
        next_step="See `datalab node status`, and the agent's log.",
    )


def _running(home: Home) -> Status:
    status = read_status(home)
    if status.state == "ended":
        raise NotFoundError(
            f"No agent runs in {home.path}.", next_step=f"Start it with: datalab node start --home {home.path}"
        )
    return status


def _open(status: Status) -> int:
    handle = _handle(status.pid, status.started)
    if handle is None:
        raise NotFoundError("The agent has just ended.", next_step="See: datalab node status")
    return handle


def _handle(pid: int, ticks: int) -> int | None:
    """Return a handle on a process if it is the one that began at ``ticks``; the handle never means another one."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        same = start_ticks(pid) == ticks
    except OSError:
        same = False
    if not same:
        os.close(handle)
        return None
    return handle


def _descendants(pid: int) -> list[tuple[int, int]]:
    """Return all processes below ``pid`` with the time at which each began."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[tuple[int, int]] = []
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            try:
                found.append((child, start_ticks(child)))
            except OSError:
                continue
            waiting.append(child)
    return found


def _await(handles: list[int]) -> None:
    deadline = time.monotonic() + KILL_SECONDS
    for handle in handles:
        if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise ServiceFailedError(
                "A process of the node has not ended although it was killed.",
                next_step="Look at it with ps: it may hang in the kernel.",
            )
