"""What a round costs beyond the apps' own work, and how it compares.

``python -m tests.perf.rounds --nodes 4 --bytes 1000 --rounds 50 --json``
``python -m tests.perf.rounds --bytes 100000000 --rounds 3 --compare raw``
``python -m tests.perf.rounds --bytes 1000 --rounds 5 --compare flower``
``python -m tests.perf.rounds --nodes 4 --bytes 1000 --rounds 50 --compare journal``

Real processes (gateway, runner, agents, sandboxed workers), real mutual TLS. A round is train and evaluate on every
node. Its seconds are from the first byte of a model that is encoded to the last reply decoded; from the time of each
batch the longest time that one of the apps took is subtracted. The strategy's sums lie between batches. A journal that
is compared with none is shipped to object storage as well; others are with ``--ship`` only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datalab.storage.service import SERVICE as OBJECT_STORE
from datalab.supervisor import Supervisor
from federation.run import ConfigValue
from tests.perf import flower, raw, relay, strategy
from tests.support import traced
from tests.support.federation import Federation
from tests.support.memory import peak_mb, rss_mb, worker_pid

LAYER = 10_000_000
"""Bytes of one array, at most: a large model has many."""


@dataclass
class Measured:
    """What was seen of one run.

    Attributes:
        batches: the runner's events, one for each batch of messages.
        rounds: of the run card.
        breakdown: median seconds of each stage of a task (see ``tests.support.traced``), those that come first
            before the others.
        rss_mb: the most memory that each process has had.
        raw_bytes_per_second: of as many raw streams, where they were to be compared with.
        relayed_bytes_per_second: of the barest relay that there can be, likewise.
        strategy_mb: the most memory that the strategy takes by itself, likewise.
    """

    batches: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    rss_mb: dict[str, float] = field(default_factory=dict)
    breakdown: dict[str, float] = field(default_factory=dict)
    raw_bytes_per_second: float = 0.0
    relayed_bytes_per_second: float = 0.0
    strategy_mb: float = 0.0

    @property
    def beyond(self) -> list[float]:
        """Seconds of each batch beyond the apps' own work."""
        return [one["seconds"] - max(node["app_seconds"] for node in one["nodes"].values()) for one in self.batches]


def measure(
    *,
    nodes: int,
    size: int,
    rounds: int,
    compare_raw: bool,
    folder: Path,
    journal: bool = True,
    ship: bool = False,
) -> Measured:
    """Run the echo app.

    Args:
        nodes: number of nodes.
        size: bytes of the model.
        rounds: number of rounds.
        compare_raw: whether to measure raw streams as well.
        folder: for the homes of all processes.
        journal: whether runner and nodes keep what they have done on the disk.
        ship: whether there is an object store, to which the runner ships its journal.
    """
    names = [f"node-{number}" for number in range(nodes)]
    seen = Measured()
    folder.mkdir()
    with Supervisor() as supervisor, traced.processes(folder, journal=journal):
        federation = Federation(folder, supervisor)
        if ship:
            supervisor.start(OBJECT_STORE.name, OBJECT_STORE.module, federation.lab)
        for name in names:
            federation.add_node(name)
        federation.wait_for(*names)
        gateway, agent = federation.processes["gateway"].pid, federation.processes["node-0"].pid
        seen.rss_mb["agent_at_rest"] = rss_mb(agent)

        def look(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            if event["event"] == "batch":
                seen.batches.append(event)
            if event["event"] == "round" and (worker := worker_pid(agent)) is not None:
                processes = {"gateway": gateway, "agent": agent, "worker": worker, "runner": runner.pid}
                if (server_app := worker_pid(runner.pid)) is not None:
                    processes["server_app"] = server_app
                with contextlib.suppress(ValueError, FileNotFoundError):  # one has ended before its event was read
                    seen.rss_mb |= {name: peak_mb(pid) for name, pid in processes.items()}

        config: dict[str, ConfigValue] = {
            "bytes": size,
            "num-server-rounds": rounds,
            "distinct": True,
            "arrays": max(1, size // LAYER),
            "noise": compare_raw,  # nothing is gained over raw streams by compressing zeros
        }
        card = federation.run(names, config=config, while_running=look, record=ship).read_card()
        seen.rounds = card["rounds"]
        if compare_raw:
            identities = [federation.node_home(name).path / "identity" for name in names]
            seen.raw_bytes_per_second = raw.measure(federation.lab, identities, size, rounds)
            seen.relayed_bytes_per_second = relay.measure(federation.lab, identities, size, rounds)
            seen.strategy_mb = strategy.measure(size, max(1, size // LAYER), nodes)
    seen.breakdown = traced.breakdown(folder)
    return seen


def seconds_per_round(seen: Measured) -> float:
    """Return the median seconds of a round beyond the apps' own work: train and evaluate."""
    return statistics.median(map(sum, zip(seen.beyond[::2], seen.beyond[1::2], strict=True)))


def summary(seen: Measured, size: int) -> dict[str, Any]:
    """Return what every call reports; ``rss_bound_mb`` is for gateway and runner."""
    return {
        "seconds_per_round": seconds_per_round(seen),
        "seconds_per_round_with_apps": statistics.median(one["seconds"] for one in seen.rounds),
        "breakdown": seen.breakdown,
        "bytes_up": sum(one["bytes_up"] for one in seen.rounds),
        "bytes_down": sum(one["bytes_down"] for one in seen.rounds),
        "rss_mb": seen.rss_mb,
        "rss_bound_mb": 3 * size / 1e6 + 150,
    }


def compared_with_raw(seen: Measured) -> dict[str, Any]:
    """Return the throughput between gateway and nodes as a share of what raw streams reach.

    The bytes are those that went over the wire between gateway and nodes, each way; a buffer that was there already, or
    was on its way already, does not count. A model is downloaded a second time when the second round trains the model
    that the first one has evaluated.
    """
    moved = sum(one["bytes_up"] + one["bytes_down"] for one in seen.rounds)
    rate, with_apps = moved / sum(seen.beyond), moved / sum(one["seconds"] for one in seen.batches)
    between = [
        after["time"] - after["seconds"] - before["time"]
        for before, after in zip(seen.batches, seen.batches[1:], strict=False)
    ]
    return {
        "share_of_raw_streams": rate / seen.raw_bytes_per_second,
        "share_of_raw_streams_with_apps": with_apps / seen.raw_bytes_per_second,
        "share_of_bare_relay": rate / seen.relayed_bytes_per_second,
        "share_of_raw_streams_of_a_bare_relay": seen.relayed_bytes_per_second / seen.raw_bytes_per_second,
        "mb_per_second": rate / 1e6,
        "raw_mb_per_second": seen.raw_bytes_per_second / 1e6,
        "repeat_download_share": seen.batches[2]["bytes_down"] / seen.batches[1]["bytes_down"],
        "strategy_seconds_per_round": sum(between) / len(seen.rounds),
        "strategy_alone_rss_mb": seen.strategy_mb,
    }


def compared_with_flower(seen: Measured, *, nodes: int, size: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Return how much faster a whole round is than on stock Flower, apps and strategy included on both sides."""
    stock = flower.measure(nodes=nodes, size=size, rounds=rounds, folder=folder)
    here = statistics.median(one["seconds"] for one in seen.rounds)
    return {"speedup_vs_flower": stock / here, "flower_seconds_per_round": stock}


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--bytes", type=int, default=1000, dest="size")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--compare", choices=["raw", "flower", "journal"])
    parser.add_argument("--ship", action="store_true", help="have an object store, to which the journal is shipped")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    ship = arguments.ship or arguments.compare == "journal"
    asked = {"nodes": arguments.nodes, "size": arguments.size, "rounds": arguments.rounds}
    with tempfile.TemporaryDirectory() as folder:
        seen = measure(**asked, compare_raw=arguments.compare == "raw", folder=Path(folder, "datalab"), ship=ship)
        result = {
            "nodes": arguments.nodes,
            "bytes": arguments.size,
            "rounds": arguments.rounds,
            **summary(seen, arguments.size),
        }
        if arguments.compare == "journal":
            without = measure(**asked, compare_raw=False, folder=Path(folder, "without"), journal=False)
            result["seconds_per_round_without_journal"] = seconds_per_round(without)
            result["journal_seconds_per_round"] = result["seconds_per_round"] - seconds_per_round(without)
        if arguments.compare == "raw":
            result |= compared_with_raw(seen)
        if arguments.compare == "flower":
            result |= compared_with_flower(seen, **asked, folder=Path(folder, "flower"))
    if arguments.json or arguments.compare:
        print(json.dumps(result, indent=2))
    else:
        print(f"{result['seconds_per_round'] * 1000:.1f} ms a round beyond the apps' own work; {result}")


if __name__ == "__main__":
    main()
