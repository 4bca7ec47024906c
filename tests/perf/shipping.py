"""What it costs the runner to ship its journal: ``python -m tests.perf.shipping --json``.

A real object store; the runner's own code, called without its thread. Processor time is that of the calling thread,
which other work on the machine changes little. The journal is what rounds of 1 kB with four nodes make of it (train and
evaluate), shipped every hundred rounds: as many as there are in two seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from datalab.home import Home
from datalab.storage.service import SERVICE
from datalab.supervisor import Supervisor
from federation.journal import Journal
from federation.pb import federation_pb2 as pb
from federation.pb.journal_pb2 import JournalAnswer, JournalEntry, JournalPush
from federation.run import RunFolder, RunPlace, RunSpec
from federation.runner.shipping import Shipping
from federation.shipped import ShippedRun, pieces
from tests.support.memory import rss_mb

NODES = 4
TOGETHER = 100


def write_round(journal: Journal, folder: RunFolder) -> None:
    """Write down what a round leaves in the journal and in the events."""
    for kind in ("train", "evaluate"):
        push = JournalPush(first=0, sha256=[os.urandom(32)] * NODES)
        journal.append(JournalEntry(push=push).SerializeToString())
        for node in range(NODES):
            reply = pb.Reply(run_id="run", task_id="00000001", node=f"node-{node}")
            if kind == "train":
                record = reply.content.entries.add(key="arrays").array_record
                record.entries.add(key="model").array.CopyFrom(_array(os.urandom(1000)))
            journal.append(JournalEntry(reply=reply).SerializeToString())
        answer = JournalAnswer(number=1, replies=NODES, settled=["00000001"] * NODES)
        journal.append(JournalEntry(answer=answer).SerializeToString())
        with folder.events.open("ab") as events:
            events.write(b'{"event": "batch", "nodes": "%s"}\n' % os.urandom(250).hex().encode())
    journal.sync()


def _array(data: bytes) -> Any:
    array = pb.Reply().content.entries.add().array_record.entries.add().array
    array.dtype, array.data = "float32", data
    array.shape[:] = [len(data) // 4]
    return array


def small_rounds(home: Home, shipments: int) -> dict[str, float]:
    """Return the seconds of processor time for each round of 1 kB, and for the first shipment, imports included."""
    folder = RunFolder(home.folder("runs", "run"))
    folder.bundle.write_bytes(b"an app")
    places = (RunPlace(node="node-0", dataset="toy"),)
    folder.write_spec(RunSpec(id="run", app_sha256="0" * 64, places=places, permit="", purpose="e"))
    journal = Journal(folder.journal)
    shipping = Shipping(home, folder, lambda: journal.size, lambda *_, **__: None)
    first, seconds = _cpu_of(shipping), []
    for _ in range(shipments):
        for _ in range(TOGETHER):
            write_round(journal, folder)
        seconds.append(_cpu_of(shipping) / TOGETHER)
    return {
        "first_cpu_seconds": first,
        "cpu_seconds_per_round": statistics.mean(seconds),
        "cpu_seconds_per_round_most": max(seconds),
        "journal_bytes_per_round": journal.size / TOGETHER / shipments,
    }


def _cpu_of(shipping: Shipping) -> float:
    began = time.thread_time()
    while shipping._ship():
        pass
    return time.thread_time() - began


def large_buffer(home: Home, size: int) -> dict[str, float]:
    """Return the seconds of processor time for a buffer of so many bytes, and the memory that it takes meanwhile."""
    path, digest, seconds = home.path / "buffer", hashlib.sha256(b"buffer").hexdigest(), []
    path.write_bytes(os.urandom(size))
    shipped = ShippedRun(home, "runner", "large")

    def ship() -> None:
        began = time.thread_time()
        with path.open("rb") as file:
            shipped.put(digest, pieces(file.fileno(), 0, size))
        seconds.append(time.thread_time() - began)

    before = most = rss_mb(os.getpid())
    thread = threading.Thread(target=ship)
    thread.start()
    while thread.is_alive():
        most = max(most, rss_mb(os.getpid()))
        time.sleep(0.005)
    return {"buffer_bytes": size, "buffer_cpu_seconds": seconds[0], "buffer_memory_mb": most - before}


def main() -> None:
    """Parse the arguments and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shipments", type=int, default=20)
    parser.add_argument("--bytes", type=int, default=100_000_000, dest="size")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Supervisor() as supervisor:
        home = Home(Path(folder))
        (home.path / "datalab.toml").write_text("[ports]\nobject_store = 0\n", encoding="utf-8")
        supervisor.start(SERVICE.name, SERVICE.module, home)
        report = small_rounds(home, arguments.shipments) | large_buffer(home, arguments.size)
    print(json.dumps(report, indent=2) if arguments.json else report)


if __name__ == "__main__":
    main()
