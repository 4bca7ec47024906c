"""How long a revoked node stays connected, while it is being sent a model of 100 MB or is sending one.

``python -m tests.perf.revocation --json``

Each time, a new node trains a large model round after round. Once a reply of it is on its way to the runner, it is
revoked with ``datalab node revoke``; the clock starts when that command has returned, and stops when the gateway's
socket to the node is closed and the runner has an error instead of the reply that it was waiting for.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from datalab.errors import DatalabError
from datalab.service import python_module
from datalab.supervisor import Supervisor
from tests.support.federation import Federation

POLL = 0.002
DEADLINE, LONGEST_START = 30.0, 300.0
ROUNDS = 1000
"""More than there is time for: a transfer is under way whenever the node is cut off."""


def measure(*, times: int, size: int, folder: Path) -> dict[str, Any]:
    """Revoke ``times`` nodes, each under a transfer of ``size`` bytes; return how long it took until each was cut."""
    with Supervisor() as supervisor:
        federation = Federation(folder, supervisor)
        cuts = [_revoke_one(federation, f"node-{number}", size) for number in range(times)]
    return {
        "times": times,
        "bytes": size,
        "seconds_to_cut": max(max(cut) for cut in cuts),
        "seconds_to_cut_median": statistics.median(max(cut) for cut in cuts),
        "seconds_to_socket_closed": max(closed for closed, _ in cuts),
        "seconds_to_reply_refused": max(refused for _, refused in cuts),
    }


def _revoke_one(federation: Federation, name: str, size: int) -> tuple[float, float]:
    """Return the seconds until the node's socket was closed, and until its reply was refused."""
    federation.add_node(name)
    federation.wait_for(name)
    gateway = psutil.Process(federation.processes["gateway"].pid)
    port = _port_of(psutil.Process(federation.processes[name].pid))
    times: dict[str, float] = {}

    def revoke() -> None:
        _await(lambda: any((federation.lab.path / "runs" / name / "buffers").glob("*.part")), LONGEST_START)
        subprocess.run(
            [*python_module("datalab"), "node", "revoke", name, "--home", str(federation.lab.path)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        times["returned"] = time.time()
        _await(lambda: not _connected(gateway, port))
        times["closed"] = time.time()

    def look(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if revoking.done():
            revoking.result()  # where it has failed, the run would never end
        if event["event"] == "batch" and "error" in event["nodes"][name]:
            times["refused"], times["batch"] = event["time"], event["seconds"]
        elif event["event"] == "node" and event["state"] == "lost":
            times["lost"] = event["time"]

    with ThreadPoolExecutor(1) as pool:
        revoking = pool.submit(revoke)
        try:
            federation.run([name], run_id=name, config={"bytes": size, "num-server-rounds": ROUNDS}, while_running=look)
        except DatalabError as error:
            print(f"{name}: {error}", file=sys.stderr)
        revoking.result()
    federation.supervisor.forget(federation.processes[name])
    # Where the strategy was at work when the node was cut off, its next task is refused as soon as it is sent, or it is
    # told that the node is gone and sends none.
    refused = min(times.get("refused", times["lost"]) - times["returned"], times.get("batch", math.inf))
    return max(0.0, times["closed"] - times["returned"]), max(0.0, refused)


def _port_of(agent: psutil.Process) -> int:
    """Return the local port of the agent's connection to the gateway."""
    (one,) = (one for one in agent.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED)
    return int(one.laddr.port)


def _connected(gateway: psutil.Process, port: int) -> bool:
    return any(
        one.raddr and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED
        for one in gateway.net_connections("tcp")
    )


def _await(condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {seconds} seconds.")
        time.sleep(POLL)


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--bytes", type=int, default=100_000_000, dest="size")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(times=arguments.times, size=arguments.size, folder=Path(folder))
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"cut at most {result['seconds_to_cut']:.3f} s after the command's return, {result['times']} times")


if __name__ == "__main__":
    main()
