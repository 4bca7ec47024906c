"""A client that fails: the app sees its error, and a strategy goes on with the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """Return the model and a half; the first node raises an exception in its stead."""
    if int(context.node_config["partition-id"]) == 0:
        raise ValueError("This node has a bad day.")
    (model,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    content = {"arrays": ArrayRecord([model + 0.5]), "metrics": MetricRecord({"num-examples": 3})}
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Save how many replies were errors, and the model of the node that does not fail."""
    content = RecordDict({"arrays": ArrayRecord([np.zeros(3)])})
    messages = [Message(content, node, "train") for node in grid.get_node_ids()]
    replies = list(grid.send_and_receive(messages))
    errors = [one.has_error() for one in replies]
    result = FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(3)]), num_rounds=2)
    (model,) = result.arrays.to_numpy_ndarrays()
    np.savez(Path(str(context.run_config["out"])) / "result.npz", errors=[sum(errors), len(errors)], model=model)
