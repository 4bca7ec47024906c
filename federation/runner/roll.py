"""Which nodes of a run are here, which are away and waited for, and which are lost."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterable

from federation.pb import federation_pb2 as pb


class Roll:
    """The nodes of one run; but for ``present``, for the thread of the link alone.

    A node is *here* once it has accepted the run, *away* from the end of its stream until it accepts again, and *lost*
    when it has been away for too long, or has decided otherwise. One that is lost is back as soon as it accepts.

    Args:
        names: of the nodes.
        grace: seconds after which a node that is away is lost.
        patience: seconds after which one is lost that does not come to a gateway that has just been reached.
        back: called with the name of a node that is here from now on.
        gone: called with the name of a node that is lost, and why.
        say: told of the same, by event.
    """

    def __init__(
        self,
        names: Iterable[str],
        grace: float,
        patience: float,
        back: Callable[[str], None],
        gone: Callable[[str, str], None],
        say: Callable[..., None],
    ) -> None:
        self._names = tuple(names)
        self._grace = grace
        self._patience = patience
        self._back = back
        self._gone = gone
        self._say = say
        self._lock = threading.Lock()
        self._here: set[str] = set()
        self._lost: dict[str, str] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._visits: Counter[str] = Counter()

    def present(self) -> list[str]:
        """Return the names of those that are not lost; from any thread."""
        with self._lock:
            return sorted(name for name in self._names if name not in self._lost)

    def all_lost(self) -> list[str]:
        """Return name and reason of those that are; from any thread."""
        with self._lock:
            return [f"{name}: {why}" for name, why in sorted(self._lost.items())]

    def is_here(self, name: str) -> bool:
        """Whether it has accepted the run, and its stream stands."""
        return name in self._here

    def lost(self, name: str) -> str | None:
        """Return why it is lost, or None where it is not."""
        return self._lost.get(name)

    def visit(self, name: str) -> int:
        """Return how often it has gone away so far."""
        return self._visits[name]

    def decided(self, decision: pb.Decision) -> None:
        """Take note of a node's decision, the first or one after it was away."""
        name = decision.node
        self._stop_timer(name)
        if decision.code != pb.DECISION_CODE_ACCEPTED:
            self._lose(name, decision.reason or "The node takes no part in the run.")
            return
        if name in self._lost or self._visits[name]:
            self._say("node", node=name, state="back")
        with self._lock:
            self._lost.pop(name, None)
        self._here.add(name)
        self._back(name)

    def away(self, name: str, final: str) -> None:
        """Take note that a node's stream has ended; ``final`` says why it does not come back, if it does not."""
        self._visits[name] += 1
        self._here.discard(name)
        if final:
            self._stop_timer(name)
            self._lose(name, final)
        elif name not in self._lost:
            self._say("node", node=name, state="away")
            self._start_timer(name, self._grace)

    def gateway_away(self) -> None:
        """Take note that nobody can be reached; nobody is lost by that."""
        for name in self._names:
            self._stop_timer(name)
            self._visits[name] += 1
        self._here.clear()

    def expect_all(self) -> None:
        """Wait for the nodes to come to a gateway that has just been reached."""
        for name in self._names:
            if name not in self._lost:
                self._start_timer(name, self._patience)

    def close(self) -> None:
        """Wait for nobody any more."""
        for name in self._names:
            self._stop_timer(name)

    def _start_timer(self, name: str, seconds: float) -> None:
        self._stop_timer(name)
        why = f"The node was away for more than {seconds:g} seconds."
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, self._lose, name, why)

    def _stop_timer(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _lose(self, name: str, why: str) -> None:
        with self._lock:
            self._lost[name] = why
        self._here.discard(name)
        self._say("node", node=name, state="lost", reason=why)
        self._gone(name, why)
