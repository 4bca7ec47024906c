"""FedAvg over a model of ``bytes`` bytes."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds and save the model's first element."""
    config = context.run_config
    nodes = len(list(grid.get_node_ids()))
    model = np.zeros(int(config["bytes"]) // 4, dtype=np.float32)
    if config["noise"]:  # as a trained model, and not to be compressed
        model = np.random.default_rng(0).standard_normal(model.size, dtype=np.float32)
    strategy = FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes)
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({"model": Array(model)}),
        num_rounds=int(config["num-server-rounds"]),
    )
    np.save("model.npy", result.arrays["model"].numpy())
