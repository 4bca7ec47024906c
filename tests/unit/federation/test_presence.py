"""However often a node's line breaks, the log has one entry for each change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from datalab.audit.chain import Head
from federation.gateway import presence
from federation.gateway.presence import Presence


class Log:
    """Keeps what is written, and says when there is something new."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.written = asyncio.Event()

    def __call__(self, event: str, **_: Any) -> Head:
        self.events.append(event)
        self.written.set()
        return Head(len(self.events), "0" * 64)


async def test_a_node_that_connects_in_a_loop_is_written_down_once() -> None:
    log = Log()
    seen = Presence(log)
    for _ in range(100):
        seen.come("oslo", software="1.0")
        seen.go("oslo", for_good=False)
    assert log.events == ["node connected"]
    seen.come("oslo", software="1.1")
    assert log.events == ["node connected"] * 2, "it says something else of itself"


async def test_a_node_that_stays_away_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "AWAY_SECONDS", 0.01)
    log = Log()
    seen = Presence(log)
    seen.come("oslo")
    log.written.clear()
    seen.go("oslo", for_good=False)
    await log.written.wait()
    seen.come("oslo")
    assert log.events == ["node connected", "node disconnected", "node connected"]


async def test_a_node_that_was_cut_off_is_written_down_at_once() -> None:
    log = Log()
    seen = Presence(log)
    seen.come("oslo")
    seen.go("oslo", for_good=True)
    assert log.events == ["node connected", "node disconnected"]


async def test_when_the_gateway_ends_nobody_is_connected() -> None:
    log = Log()
    seen = Presence(log)
    seen.come("oslo")
    seen.come("bergen")
    seen.go("oslo", for_good=False)
    seen.close()
    assert log.events == ["node connected"] * 2 + ["node disconnected"] * 2
