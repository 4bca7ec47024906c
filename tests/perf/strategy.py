"""What Flower's FedAvg weighs by itself: ``python -m tests.perf.strategy --bytes 100000000``.

A process of its own averages replies that take no memory until they are used, as those of a run do. Nothing is sent;
what it weighs is what the ServerApp's process of a run cannot weigh less than.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

from tests.support.memory import peak_mb

ROUNDS = 3
"""The first average is held while the second one is made."""


def measure(size: int, arrays: int, nodes: int) -> float:
    """Return the most memory, in MB, that averaging a model of ``size`` bytes of so many nodes has taken."""
    command = [sys.executable, "-m", "tests.perf.strategy", "--bytes", str(size)]
    command += ["--arrays", str(arrays), "--nodes", str(nodes)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


class _Ones(Array):
    """An array that is made when it is used."""

    def __init__(self, count: int) -> None:
        super().__init__(dtype="float32", shape=(count,), stype="numpy.ndarray", data=b"")

    def numpy(self) -> np.ndarray[Any, np.dtype[Any]]:
        return np.ones(self.shape, dtype=np.float32)


def _average(count: int, arrays: int, nodes: int) -> ArrayRecord:
    replies = []
    for _ in range(nodes):
        model = ArrayRecord()
        for number in range(arrays):
            model[str(number)] = _Ones(count)
        replies.append(RecordDict({"arrays": model, "metrics": MetricRecord({"num-examples": 1})}))
    return aggregate_arrayrecords(replies, "num-examples")


def main() -> None:
    """Average a few rounds and print the most memory that it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=100_000_000, dest="size")
    parser.add_argument("--arrays", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=4)
    arguments = parser.parse_args()
    count = arguments.size // 4 // arguments.arrays
    layer = np.ones(count, dtype=np.float32)
    initial = ArrayRecord({str(number): Array(layer + number) for number in range(arguments.arrays)})
    present = initial
    for _ in range(ROUNDS):
        present = _average(count, arguments.arrays, arguments.nodes)
    assert len(present) == len(initial)  # both are held by the strategy to its end
    print(peak_mb(os.getpid()))


if __name__ == "__main__":
    main()
