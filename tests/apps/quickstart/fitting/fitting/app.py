"""A line fitted by gradient descent: FedAvg, a rate for each round, and an evaluation at the server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()
RNG = np.random.default_rng(1)
X = RNG.standard_normal((64, 3))
Y = X @ np.array([1.0, -2.0, 0.5])


class FallingRate(FedAvg):
    """FedAvg that tells its clients a rate, half of the last round's."""

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> object:
        """Return the messages of a round."""
        config["rate"] = 0.5**server_round
        return super().configure_train(server_round, arrays, config, grid)


@client.train()
def train(message: Message, _: Context) -> Message:
    """Return the weights after one step, and the number of steps: a whole one, of which FedAvg makes a fraction."""
    weights, steps = message.content.array_records["arrays"].to_numpy_ndarrays()
    step = float(message.content.config_records["config"]["rate"]) * X.T @ (X @ weights - Y) / len(X)
    content = {
        "arrays": ArrayRecord([weights - step, np.array(int(steps) + 1)]),
        "metrics": MetricRecord({"num-examples": len(X)}),
    }
    return Message(RecordDict(content), reply_to=message)


def evaluate(_: int, arrays: ArrayRecord) -> MetricRecord:
    """Return the loss of the model of a round."""
    weights, _ = arrays.to_numpy_ndarrays()
    return MetricRecord({"loss": float(np.square(X @ weights - Y).mean())})


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train for three rounds; save the weights and each round's loss."""
    strategy = FallingRate(fraction_evaluate=0.0)
    result = strategy.start(grid, ArrayRecord([np.zeros(3), np.array(0)]), num_rounds=3, evaluate_fn=evaluate)
    losses = [float(one["loss"]) for _, one in sorted(result.evaluate_metrics_serverapp.items())]
    weights, steps = result.arrays.to_numpy_ndarrays()
    out = Path(str(context.run_config["out"])) / "result.npz"
    np.savez(out, weights=weights, losses=losses, steps=steps)
