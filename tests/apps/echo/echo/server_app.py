"""FedAvg over a model of ``bytes`` bytes in ``arrays`` arrays."""

from __future__ import annotations

import os

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds and save the model's first element."""
    config = context.run_config
    nodes = len(list(grid.get_node_ids()))
    count = int(config["arrays"])
    layer = np.zeros(int(config["bytes"]) // 4 // count, dtype=np.float32)
    if config["noise"]:  # as a trained model, and not to be compressed much
        layer = np.random.default_rng(0).standard_normal(layer.size, dtype=np.float32)
    # Arrays that differ: one that another has as well would be sent once.
    model = {"model" if count == 1 else f"model-{number}": Array(layer + np.float32(number)) for number in range(count)}
    fraction = float(config["fraction"])
    least = nodes if fraction == 1 else 1
    strategy = FedAvg(
        fraction_train=fraction,
        fraction_evaluate=fraction,
        min_train_nodes=least,
        min_evaluate_nodes=least,
        min_available_nodes=least,
    )
    result = strategy.start(
        grid=grid,
        train_config=ConfigRecord({"fickle": os.urandom(8).hex()}) if config["fickle"] else None,
        initial_arrays=ArrayRecord(model),
        num_rounds=int(config["num-server-rounds"]),
    )
    np.save("model.npy", next(iter(result.arrays.values())).numpy())
