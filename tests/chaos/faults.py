"""The faults: what is killed or cut, when, and how it comes back."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from federation.run import RunFolder
from tests.chaos.system import NODES, System

COMPONENTS = ("runner", "gateway", "node", "worker", "network", "lab", "object-store")
LONGEST_AWAY = 3.0
"""Seconds after which what was killed is started again, at most."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        component: what it hits.
        after: the event of the run after which it comes: so many batches, or none of them.
        delay: seconds from then.
        away: seconds until what was hit is back.
        node: which node it hits, where it hits one.
    """

    component: str
    after: int
    delay: float
    away: float
    node: str


def plan(count: int, seed: int, rounds: int) -> list[Fault]:
    """Return ``count`` faults, all components in turn; most of them lie inside training."""
    chance = random.Random(seed)
    # A lab server or an object store is needed when a run begins and when it ends.
    return [
        Fault(
            component=(component := COMPONENTS[number % len(COMPONENTS)]),
            after=chance.choice([0, 2 * rounds - 1])
            if component in ("lab", "object-store")
            else chance.randrange(2 * rounds),
            delay=chance.uniform(0.0, 0.25),
            away=chance.uniform(0.2, LONGEST_AWAY),
            node=chance.choice(NODES),
        )
        for number in range(count)
    ]


def inject(fault: Fault, system: System, run: RunFolder) -> Callable[[], None]:
    """Do it; return what brings back what was hit."""
    match fault.component:
        case "runner":
            os.kill(_runner(run), signal.SIGKILL)
            return lambda: None  # the lab starts it again by itself
        case "worker":
            agent = psutil.Process(system.federation.processes[fault.node].pid)
            for process in agent.children():
                process.kill()
            return lambda: None
        case "network":
            proxy = system.proxies[fault.node]
            proxy.sever()
            return _later(fault.away, proxy.mend)
        case "node":
            system.kill(fault.node)
            return _later(fault.away, lambda: system.federation.start_node(fault.node))
        case service:
            system.kill(service)
            return _later(fault.away, lambda: system.start(service))


def _runner(run: RunFolder) -> int:
    pid: int = json.loads((run.path / "run" / "runner.json").read_bytes())["pid"]
    return pid


def _later(seconds: float, act: Callable[[], None]) -> Callable[[], None]:
    def wait() -> None:
        time.sleep(seconds)
        act()

    return wait


def phase(seen: list[dict[str, Any]], rounds: int) -> str:
    """Return in which phase a run of so many rounds is after what it has said."""
    last = next((one for one in reversed(seen) if one["event"] in ("batch", "nodes")), None)
    if last is None:
        return "opening"
    if last["event"] == "nodes":
        return "round 1, train"
    number = int(last["round"])
    if last["type"] == "train":
        return f"round {number}, evaluate"
    return f"round {number + 1}, train" if number < rounds else "closing"
