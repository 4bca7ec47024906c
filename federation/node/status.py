"""What a node's agent says of itself to whoever looks at its home: one small file, kept up to date."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from datalab.errors import NotFoundError
from datalab.home import Home, write_atomically


class Status(BaseModel):
    """The state of an agent; times are seconds since 1970.

    Attributes:
        state: what it is doing, or that it has ended.
        since: when that began.
        reason: why it is not connected, or why it has ended: one sentence.
        pid: of the agent.
        started: ticks since the machine's start at which that process began, by which it is told from a later one with
            the same id.
        node: its SPIFFE id.
        gateway: address of the gateway.
        serial: of the node's certificate.
        certificate_expires: of the same.
        renewal_due: when it is to be renewed.
        clock_skew: seconds by which this machine's clock is ahead of the gateway's.
        revocations_made: when the list of revoked certificates was signed.
        sandbox: by which means foreign code is confined, or why it is refused.
        runs: runs that it takes part in.
        renewal_failure: when and why the certificate could not be renewed; empty once it has been.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Literal["connecting", "connected", "stopping", "ended"]
    since: float
    reason: str = ""
    pid: int = 0
    started: int = 0
    node: str = ""
    gateway: str = ""
    serial: str = ""
    certificate_expires: float = 0.0
    renewal_due: float = 0.0
    clock_skew: float = 0.0
    revocations_made: float | None = None
    sandbox: str = ""
    runs: tuple[str, ...] = ()
    renewal_failure: str = ""


class StatusFile:
    """Writes the status of this process.

    Attributes:
        now: the status.
    """

    def __init__(self, home: Home) -> None:
        self._path = _path(home)
        self.now = Status(state="connecting", since=time.time(), pid=os.getpid(), started=start_ticks(os.getpid()))
        self._written: Status | None = None  # the file may still be an earlier process's

    def update(self, **changes: object) -> None:
        """Write what has changed; a new ``state`` begins now."""
        if changes.get("state", self.now.state) != self.now.state:
            changes["since"] = time.time()
        self.now = self.now.model_copy(update=changes)
        if self.now != self._written:
            write_atomically(self._path, self.now.model_dump_json().encode())
            self._written = self.now


def read_status(home: Home) -> Status:
    """Return the last status of a node's agent; one whose process is gone has ended, whatever it said last.

    Raises:
        NotFoundError: no agent has ever run in this home.
    """
    try:
        status = Status.model_validate_json(_path(home).read_bytes())
    except (OSError, ValidationError):
        raise NotFoundError(
            f"No agent has run in {home.path}.", next_step=f"Start it with: datalab node start --home {home.path}"
        ) from None
    if status.state != "ended" and not runs_still(status):
        return status.model_copy(update={"state": "ended", "reason": status.reason or "The agent was killed."})
    return status


def describe(status: Status) -> list[tuple[str, str]]:
    """Return the status for people: names and values."""
    now = time.time()
    lines = [("State", f"{status.state} for {_span(now - status.since)}")]
    if status.reason:
        lines.append(("Why", status.reason))
    if status.node:
        lines += [
            ("Node", status.node),
            ("Gateway", status.gateway),
            ("Certificate", f"good for {_span(status.certificate_expires - now)}"),
            ("Renewal", f"due in {_span(status.renewal_due - now)}"),
            ("Clock", f"{_span(status.clock_skew)} ahead of the gateway's"),
        ]
    if status.renewal_failure:
        lines.append(("Last renewal", f"failed at {status.renewal_failure}"))
    if status.revocations_made is not None:
        lines.append(("Revocation list", f"signed {_span(now - status.revocations_made)} ago"))
    if status.sandbox:
        lines.append(("Sandbox", status.sandbox))
    lines.append(("Runs", ", ".join(status.runs) or "none"))
    return lines


def _span(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def runs_still(status: Status) -> bool:
    """Whether the process that wrote the status is there."""
    try:
        return start_ticks(status.pid) == status.started
    except OSError:
        return False


def start_ticks(pid: int) -> int:
    """Return when a process began, in clock ticks since the machine's start (proc(5), field 22)."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(text.rpartition(")")[2].split()[19])


def _path(home: Home) -> Path:
    return home.folder("run") / "status.json"
