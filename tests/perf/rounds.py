"""What a round costs beyond the apps' own work.

``python -m tests.perf.rounds --nodes 4 --bytes 1000 --rounds 20 --json``

Real processes (gateway, runner, agents, sandboxed workers), real mutual TLS. A round is train and evaluate on every
node; from the time of each batch the longest time that one of the apps took is subtracted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from datalab.supervisor import Supervisor
from tests.support.federation import Federation
from tests.support.memory import rss_mb, worker_mb


def measure(*, nodes: int, size: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Run the echo app and return the benchmark's result.

    Args:
        nodes: number of nodes.
        size: bytes of the model.
        rounds: number of rounds.
        folder: for the homes of all processes.
    """
    names = [f"node-{number}" for number in range(nodes)]
    batches: list[dict[str, Any]] = []
    memory: dict[str, float] = {}
    with Supervisor() as supervisor:
        federation = Federation(folder, supervisor)
        for name in names:
            federation.add_node(name)
        federation.wait_for(*names)
        idle = rss_mb(federation.processes["node-0"].pid)

        def look(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            if event["event"] == "batch":
                batches.append(event)
            if event["event"] == "round" and event["number"] == max(1, rounds // 2):
                memory["gateway"] = rss_mb(federation.processes["gateway"].pid)
                memory["agent"] = rss_mb(federation.processes["node-0"].pid)
                memory["worker"] = worker_mb(federation.processes["node-0"].pid)
                memory["runner"] = rss_mb(runner.pid)

        run = federation.run(names, config={"bytes": size, "num-server-rounds": rounds}, while_running=look)
        card = run.read_card()
    beyond = [one["seconds"] - max(node["app_seconds"] for node in one["nodes"].values()) for one in batches]
    pairs = [train + evaluate for train, evaluate in zip(beyond[::2], beyond[1::2], strict=True)]
    return {
        "nodes": nodes,
        "bytes": size,
        "rounds": rounds,
        "seconds_per_round": statistics.median(pairs),
        "seconds_per_round_with_apps": statistics.median(one["seconds"] for one in card["rounds"]),
        "bytes_up": sum(node["from_node"] for node in card["traffic"].values()),
        "bytes_down": sum(node["to_node"] for node in card["traffic"].values()),
        "rss_mb": {**memory, "agent_at_rest": idle},
    }


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--bytes", type=int, default=1000, dest="size")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(nodes=arguments.nodes, size=arguments.size, rounds=arguments.rounds, folder=Path(folder))
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{result['seconds_per_round'] * 1000:.1f} ms a round beyond the apps' own work; {result}")


if __name__ == "__main__":
    main()
