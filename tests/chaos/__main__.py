"""What a run survives: ``python -m tests.chaos --faults 30 --seed 1 --json``.

Real processes: object store, lab server, gateway, three nodes behind proxies and with disks of their own, a runner for
each run. Each run has one fault, the loss of its folder among them, and must end with the parameters of the run that
was left alone. The app keeps a state at each node, so that a task that is carried out twice, or a state that is lost,
changes them. Disks are mounted, so that this is for root on Linux.

At the end a run of 20 rounds is made twice, the second time with its runner killed half-way.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datalab.errors import DatalabError
from datalab.service import log_json_lines
from federation.run import ConfigValue, RunFolder
from tests.chaos.faults import NOTICED, Fault, inject, phase, plan
from tests.chaos.system import NODES, System


def run_once(system: System, run_id: str, config: dict[str, ConfigValue], fault: Fault | None) -> dict[str, Any]:
    """Conduct a run with a fault in it, and say what became of it."""
    for name in NODES:
        system.federation.wait_for(name)
    run = system.submit(run_id, config)
    seen: list[dict[str, Any]] = []
    hits: list[dict[str, Any]] = []
    struck = threading.Event()
    threads: list[threading.Thread] = []
    failed: list[BaseException] = []
    began = time.time()

    def strike(fault: Fault) -> None:
        try:
            time.sleep(fault.delay)
            hits.append({"time": time.time(), "phase": phase(seen, int(str(config["num-server-rounds"])))})
            inject(fault, system, run)()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            struck.set()
        system.closing.wait()  # the kernel ends a process when the thread that has started it ends

    error = ""
    try:
        for event in system.conduct(run, config):
            seen.append(event)
            if fault is not None and not threads and _reached(seen, fault):
                threads.append(threading.Thread(target=strike, args=(fault,), daemon=True))
                threads[0].start()
    except DatalabError as problem:
        error = str(problem)
    if threads:
        struck.wait()
    if failed:
        raise RuntimeError(f"The fault could not be made: {failed[0]!r}") from failed[0]
    model = run.artifacts / "model.npy"
    return {
        **({} if fault is None else asdict(fault)),
        "run": run_id,
        "at": hits[0]["time"] - began if hits else None,
        "phase": hits[0]["phase"] if hits else None,
        "seconds": time.time() - began,
        "outcome": run.read_card()["outcome"] if run.card.exists() else "none",
        "error": error,
        "model": model.read_bytes().hex() if model.exists() else "",
        "executed_again": system.executed_again(run_id),
        "audit_verified": system.audit_verifies(),
        "resume_seconds": _resume_seconds(run, seen) if fault is not None and fault.component == "runner" else None,
        "noticed_seconds": _noticed_seconds(seen, fault, hits[0]["time"]) if fault is not None and hits else None,
    }


def _noticed_seconds(seen: list[dict[str, Any]], fault: Fault, hit: float) -> float | None:
    """Return after how many seconds it was said that a node is away; None where it was not, as it was back before."""
    away = [one for one in seen if one["event"] == "node" and one["state"] == "away" and one["node"] == fault.node]
    return float(away[0]["time"] - hit) if fault.component in NOTICED and away else None


def _reached(seen: list[dict[str, Any]], fault: Fault) -> bool:
    return seen[-1]["event"] in ("nodes", "batch") and sum(one["event"] == "batch" for one in seen) >= fault.after


def _resume_seconds(run: RunFolder, seen: list[dict[str, Any]]) -> float | None:
    """Return the seconds from the start of a runner to the round that the one before it was in."""
    resumed = next((number for number, one in enumerate(seen) if one["event"] == "resumed"), None)
    batches = [] if resumed is None else [one for one in seen[resumed:] if one["event"] == "batch"]
    if resumed is None or not batches:
        return None  # it was killed after the last batch
    return float(batches[0]["time"] - batches[0]["seconds"] - seen[resumed]["process_started"])


def imports_seconds() -> float:
    """Return what the app's own imports take: a Python process that does nothing else."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import numpy, flwr.serverapp.strategy"], check=True)
    return time.perf_counter() - began


def _line(one: dict[str, Any]) -> str:
    return (
        f"{one['component']:<13} {one['phase'] or '-':<20} at {one['at'] or 0:5.2f} s for {one['away']:4.1f} s: "
        f"{one['outcome']} in {one['seconds']:5.1f} s, equal {one['equal']}, again {one['executed_again']} "
        f"{one['error']}"
    )


def killed_half_way(system: System, config: dict[str, ConfigValue], rounds: int) -> dict[str, Any]:
    """Make the same run twice, with its runner killed in the middle of the second one's rounds, and compare them."""
    config = {**config, "num-server-rounds": rounds}
    undisturbed = run_once(system, "long-undisturbed", config, None)
    killed = run_once(system, "long-killed", config, Fault("runner", after=rounds, delay=0.0, away=0.0, node=NODES[0]))
    return {
        "rounds": rounds,
        "completed": killed["outcome"] == undisturbed["outcome"] == "completed",
        "equal": killed["model"] == undisturbed["model"] != "",
        "executed_again": killed["executed_again"],
        "phase": killed["phase"],
        "resume_seconds": killed["resume_seconds"],
        "seconds": killed["seconds"],
        "undisturbed_seconds": undisturbed["seconds"],
    }


def measure(
    faults: int, seed: int, rounds: int, folder: Path, say: Any = print, *, long_rounds: int = 0
) -> dict[str, Any]:
    """Run the system with ``faults`` faults, and at the end a run of ``long_rounds``, if any; return the report."""
    config: dict[str, ConfigValue] = {
        "num-server-rounds": rounds,
        "pause": 0.1,
        "remember": True,
        "bytes": 400_000,
        "noise": True,
    }
    with System(folder) as system:
        undisturbed = run_once(system, "undisturbed", config, None)
        if undisturbed["outcome"] != "completed":
            raise RuntimeError(f"The run without a fault did not complete: {undisturbed['error']}")
        results: list[dict[str, Any]] = []
        for number, fault in enumerate(plan(faults, seed, rounds)):
            one = run_once(system, f"fault-{number}", config, fault)
            one["equal"] = one.pop("model") == undisturbed["model"]
            results.append(one)
            say(_line(one))
        long = killed_half_way(system, config, long_rounds) if long_rounds else {}
    resumed = [one["resume_seconds"] for one in results if one["resume_seconds"] is not None]
    noticed = [one["noticed_seconds"] for one in results if one["noticed_seconds"] is not None]
    return {
        "faults": faults,
        "seed": seed,
        "completed": sum(one["outcome"] == "completed" for one in results),
        "equal_parameters": sum(one["equal"] for one in results),
        "executed_again": sum(one["executed_again"] for one in results),
        "audit_verified": sum(one["audit_verified"] for one in results),
        "inside_training": sum("train" in (one["phase"] or "") for one in results),
        "resume_seconds": max(resumed) if resumed else None,
        "resume_seconds_median": statistics.median(resumed) if resumed else None,
        "noticed_seconds": max(noticed) if noticed else None,
        "cut_seconds": sorted(one["away"] for one in results if one["component"] == "network"),
        "imports_seconds": imports_seconds(),
        "half_way": long,
        "each": results,
    }


def main() -> None:
    """Parse the arguments and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--keep", type=Path, help="a folder for all that the processes write, which stays")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    log_json_lines()  # on standard error: the report alone is on standard output
    with tempfile.TemporaryDirectory() as folder:
        report = measure(
            arguments.faults,
            arguments.seed,
            arguments.rounds,
            arguments.keep or Path(folder),
            say=lambda line: print(line, file=sys.stderr, flush=True),
            long_rounds=20,
        )
    print(json.dumps(report, indent=2) if arguments.json else report)
    sys.exit(report["completed"] < report["faults"])


if __name__ == "__main__":
    main()
