"""Which nodes are connected, as the audit log has it: one entry for each change, however often a line breaks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Protocol

from datalab.audit.chain import Head

AWAY_SECONDS = 60.0
"""A node that is back within this time was not away, as far as the log is concerned."""


class Record(Protocol):
    """Writes one event to the gateway's audit log."""

    def __call__(self, event: str, **details: Any) -> Head:
        """Append ``event`` and return where the chain stands then."""
        ...


class Presence:
    """Writes down who comes and goes.

    A node whose connection comes and goes all the time, or that connects in a loop, does not fill the log.

    Args:
        record: the gateway's audit log.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        # What was written of each node that is there, and when those that may be away were seen last.
        self._there: dict[str, dict[str, Any]] = {}
        self._since: dict[str, datetime] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def come(self, node: str, **details: Any) -> None:
        """Note that a node is connected; written if it was not, or says something else of itself than before."""
        self._since.pop(node, None)
        if (waiting := self._waiting.pop(node, None)) is not None:
            waiting.cancel()
        if self._there.get(node) != details:
            self._there[node] = details
            self._record("node connected", node=node, **details)

    def go(self, node: str, *, for_good: bool) -> None:
        """Note that a node's connection has ended; written at once if that is ``for_good``, else if it stays away."""
        self._since[node] = datetime.now(UTC)
        if for_good:
            self._write_gone(node)
        else:
            self._waiting[node] = asyncio.get_running_loop().call_later(AWAY_SECONDS, self._write_gone, node)

    def close(self) -> None:
        """Write down that nobody is connected any more: the gateway ends."""
        for node in list(self._there):
            self._since.setdefault(node, datetime.now(UTC))
            self._write_gone(node)

    def _write_gone(self, node: str) -> None:
        if (waiting := self._waiting.pop(node, None)) is not None:
            waiting.cancel()
        self._there.pop(node, None)
        self._record("node disconnected", node=node, since=self._since.pop(node).isoformat())
