"""How often somebody may fail to enrol."""

from __future__ import annotations

from collections import OrderedDict, deque

MAX_FAILURES = 10
WINDOW = 60.0
"""Seconds in which ``MAX_FAILURES`` are let pass."""
MAX_PEERS = 1024


class FailureLimit:
    """Counts failures of each peer over a sliding window; the peers it remembers are bounded."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, peer: str, now: float) -> bool:
        """Whether ``peer`` may try at ``now`` (seconds on any steady clock)."""
        failures = self._failures.get(peer, deque())
        while failures and failures[0] <= now - WINDOW:
            failures.popleft()
        return len(failures) < MAX_FAILURES

    def failed(self, peer: str, now: float) -> None:
        """Count a failure."""
        self._failures.setdefault(peer, deque(maxlen=MAX_FAILURES)).append(now)
        self._failures.move_to_end(peer)
        if len(self._failures) > MAX_PEERS:
            self._failures.popitem(last=False)
