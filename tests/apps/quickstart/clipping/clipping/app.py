"""Updates clipped at the clients by Flower's own mod, under its strategy for it, without noise: that is secret."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import arrays_size_mod, fixedclipping_mod
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg

client = ClientApp(mods=[arrays_size_mod, fixedclipping_mod])
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """Return weights that are far from those that came, more so at each later node."""
    number = int(context.node_config["partition-id"])
    arrays = message.content.array_records["arrays"]
    moved = [one + np.float32(3 + number) for one in arrays.to_numpy_ndarrays()]
    content = {"arrays": ArrayRecord(moved), "metrics": MetricRecord({"num-examples": 10 * (number + 1)})}
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train for two rounds, and save the weights: they have moved by no more than the norm."""
    strategy = DifferentialPrivacyClientSideFixedClipping(
        FedAvg(fraction_evaluate=0.0), noise_multiplier=0.0, clipping_norm=1.0, num_sampled_clients=2
    )
    initial = ArrayRecord([np.zeros((3, 2), np.float32), np.zeros(2, np.float32)])
    first, second = strategy.start(grid, initial, num_rounds=2).arrays.to_numpy_ndarrays()
    np.savez(Path(str(context.run_config["out"])) / "result.npz", first=first, second=second)
