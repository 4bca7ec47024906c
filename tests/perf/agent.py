"""What an agent and its worker weigh after many tasks, and how long an agent takes to be connected.

``python -m tests.perf.agent --json``

Real processes, real mutual TLS. *Warm* means that the node has been started before: its dataset is curated already.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from datalab.supervisor import Supervisor
from tests.support.federation import Federation
from tests.support.memory import rss_mb, worker_pid

NODE = "node-0"


def measure(*, tasks: int, starts: int, folder: Path) -> dict[str, Any]:
    """Give one node ``tasks`` tasks, then start it ``starts`` times, and return what was seen."""
    memory: dict[str, float] = {}
    seconds: list[float] = []
    with Supervisor() as supervisor:
        federation = Federation(folder, supervisor)
        federation.add_node(NODE)
        federation.wait_for(NODE)
        agent = federation.processes[NODE].pid
        memory["agent_at_rest"] = rss_mb(agent)

        def look(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            if event["event"] == "round" and (worker := worker_pid(agent)) is not None:
                memory["worker"] = rss_mb(worker)

        federation.run([NODE], config={"bytes": 1000, "num-server-rounds": tasks // 2}, while_running=look)
        memory["agent"] = rss_mb(agent)
        for _ in range(starts):
            supervisor.stop("node")
            began = time.perf_counter()
            federation.start_node(NODE)
            federation.wait_for(NODE)
            seconds.append(time.perf_counter() - began)
    return {
        "tasks": tasks,
        "agent_rss_mb": memory["agent"],
        "agent_at_rest_rss_mb": memory["agent_at_rest"],
        "worker_rss_mb": memory["worker"],
        "seconds_to_connected": statistics.median(seconds),
        "seconds_to_connected_maximum": max(seconds),
    }


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(tasks=arguments.tasks, starts=arguments.starts, folder=Path(folder))
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"agent {result['agent_rss_mb']} MB after {result['tasks']} tasks, worker {result['worker_rss_mb']} MB, "
            f"connected after {result['seconds_to_connected']:.2f} s"
        )


if __name__ == "__main__":
    main()
