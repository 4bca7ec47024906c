"""What a round with hundreds of nodes costs, and what a session weighs at the gateway.

``python -m tests.perf.sessions --nodes 500 --json``

Gateway and runner are the real processes. The nodes are light ones (``tests.support.light_nodes``), many in a process,
each with a certificate and a connection of its own. A round is train and evaluate on all of them, as the runner sees
it: encoding, sending, decoding and checking of all replies; the strategy's own sums are not in it.
``cpu_seconds_per_round`` is what each process has used, which other work on the machine does not change much.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from datalab.home import Home
from datalab.supervisor import Supervisor
from tests.support import light_nodes
from tests.support.federation import Federation
from tests.support.memory import cpu_seconds, rss_mb, worker_pid

ROOT = Path(__file__).parents[2]


def measure(*, nodes: int, processes: int, size: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Connect ``nodes`` light nodes from ``processes`` processes, run the echo app, and return what was seen."""
    names = [f"node-{number:04d}" for number in range(nodes)]
    seconds: list[float] = []
    memory: dict[str, float] = {}
    used: list[dict[str, float]] = []
    with Supervisor() as supervisor:
        federation = Federation(folder, supervisor)
        gateway = federation.processes["gateway"].pid
        homes = [Home(folder / f"light-{number}") for number in range(processes)]
        for number, home in enumerate(homes):
            light_nodes.certify(federation.lab, names[number::processes], home)
        memory["gateway_alone"] = rss_mb(gateway)
        light = [
            supervisor.start(
                light_nodes.SERVICE, light_nodes.MODULE, home, environment={"PYTHONPATH": str(ROOT)}, wait=False
            ).pid
            for home in homes
        ]
        for home in homes:
            supervisor.wait_ready(light_nodes.SERVICE, home)
        memory["gateway_connected"] = rss_mb(gateway)

        def look(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            if event["event"] == "round":
                seconds.append(event["seconds"])
                memory["runner"] = rss_mb(runner.pid)
                memory["gateway"] = rss_mb(gateway)
                apps = [] if (app := worker_pid(runner.pid)) is None else [app]
                pids = {"gateway": [gateway], "runner": [runner.pid], "server_app": apps, "nodes": light}
                used.append({name: sum(cpu_seconds(pid) for pid in those) for name, those in pids.items()})

        federation.run(names, config={"bytes": size, "num-server-rounds": rounds}, timeout=60.0, while_running=look)
    return {
        "nodes": nodes,
        "bytes": size,
        "rounds": rounds,
        "seconds_per_round": statistics.median(seconds),
        "seconds_per_round_maximum": max(seconds),
        "cpu_seconds_per_round": {
            name: round((used[-2][name] - used[0][name]) / (len(used) - 2), 3) for name in used[0]
        },
        "gateway_kb_per_session": round((memory["gateway"] - memory["gateway_alone"]) * 1000 / nodes, 1),
        "gateway_kb_per_session_idle": round((memory["gateway_connected"] - memory["gateway_alone"]) * 1000 / nodes, 1),
        "rss_mb": memory,
    }


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2, help="that the light nodes share")
    parser.add_argument("--bytes", type=int, default=1000, dest="size")
    parser.add_argument("--rounds", type=int, default=20, help="at least three")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(
            nodes=arguments.nodes,
            processes=arguments.processes,
            size=arguments.size,
            rounds=arguments.rounds,
            folder=Path(folder),
        )
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"{result['seconds_per_round']:.3f} s a round with {result['nodes']} nodes, "
            f"{result['gateway_kb_per_session']} kB a session at the gateway"
        )


if __name__ == "__main__":
    main()
