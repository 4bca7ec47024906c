"""FedProx: clients keep near the model that came, as far as the strategy says, and the app puts metrics together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedProx

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """Return the weights after five steps, each pulled back to the weights that came."""
    number = int(context.node_config["partition-id"])
    rng = np.random.default_rng(number)
    x = rng.standard_normal((30 + 20 * number, 4)).astype(np.float32)
    y = x @ np.arange(4, dtype=np.float32) + np.float32(number)
    mu = np.float32(message.content.config_records["config"]["proximal-mu"])
    (came,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    weights = came.copy()
    for _ in range(5):
        weights -= np.float32(0.1) * (x.T @ (x @ weights - y) / np.float32(len(x)) + mu * (weights - came))
    error = float(np.abs(x @ weights - y).max())
    content = {
        "arrays": ArrayRecord([weights]),
        "metrics": MetricRecord({"num-examples": len(x), "error": error}),
    }
    return Message(RecordDict(content), reply_to=message)


def worst(contents: list[RecordDict], weighted_by: str) -> MetricRecord:
    """Return the largest error of all nodes, and how many examples they have together."""
    found = [content.metric_records["metrics"] for content in contents]
    examples = sum(int(one[weighted_by]) for one in found)
    return MetricRecord({"error": max(float(one["error"]) for one in found), "examples": examples})


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train for three rounds; save the weights and what was found of each round."""
    strategy = FedProx(proximal_mu=0.5, fraction_evaluate=0.0, train_metrics_aggr_fn=worst)
    result = strategy.start(grid, ArrayRecord([np.zeros(4, np.float32)]), num_rounds=3)
    (weights,) = result.arrays.to_numpy_ndarrays()
    rounds = [[float(one["error"]), int(one["examples"])] for _, one in sorted(result.train_metrics_clientapp.items())]
    np.savez(Path(str(context.run_config["out"])) / "result.npz", weights=weights, rounds=rounds)
