"""The faults: what is killed or cut, when, and how it comes back."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from federation.run import RunFolder
from tests.chaos.system import NODES, System

COMPONENTS = ("runner", "gateway", "node", "worker", "network", "disk", "lab", "object-store", "folder")
LONGEST_AWAY = 3.0
"""Seconds after which what was killed is started again, at most."""
LONG_CUTS = (12.0, 75.0)
"""Seconds of the second and the third cut of a line: longer than it takes to notice it, and longer than a minute."""
FILLER = "filler"
NOTICED = ("node", "network")
"""Components without which a node is away."""


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
    faults = [
        Fault(
            component=(component := COMPONENTS[number % len(COMPONENTS)]),
            after=chance.choice([0, 2 * rounds - 1])
            if component in ("lab", "object-store")
            else chance.randrange(2 * rounds - (component == "folder")),  # a run that has ended has no folder to lose
            delay=chance.uniform(0.0, 0.25),
            away=chance.uniform(0.2, LONGEST_AWAY),
            node=chance.choice(NODES),
        )
        for number in range(count)
    ]
    cuts = [number for number, one in enumerate(faults) if one.component == "network"]
    for number, seconds in zip(cuts[1:], LONG_CUTS, strict=False):
        faults[number] = replace(faults[number], away=seconds, after=min(faults[number].after, 2 * rounds - 2))
    return faults


def inject(fault: Fault, system: System, run: RunFolder) -> Callable[[], None]:
    """Do it; return what brings back what was hit."""
    match fault.component:
        case "runner":
            os.kill(_runner(run), signal.SIGKILL)  # the lab starts it again by itself
        case "folder":
            runner, gone = _runner(run), run.path.with_name(f".{run.path.name}")
            run.path.rename(gone)  # before the lab can start another runner in it
            os.kill(runner, signal.SIGKILL)
            shutil.rmtree(gone)  # the lab brings it back from object storage
        case "worker":
            agent = psutil.Process(system.federation.processes[fault.node].pid)
            for process in agent.children():
                process.kill()
        case "network":
            proxy = system.proxies[fault.node]
            proxy.sever()
            return _later(fault.away, proxy.mend)
        case "disk":
            fill(system.federation.node_home(fault.node).path / FILLER)
            return _later(fault.away, (system.federation.node_home(fault.node).path / FILLER).unlink)
        case "node":
            system.kill(fault.node)
            return _later(fault.away, lambda: system.federation.start_node(fault.node))
        case service:
            system.kill(service)
            return _later(fault.away, lambda: system.start(service))
    return lambda: None


def fill(path: Path) -> None:
    """Write a file until there is no room for another byte."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass


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
