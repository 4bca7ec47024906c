"""A mod around the client, and a state that it keeps from round to round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedMedian


def count(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Count the messages, and say in the reply how many there were."""
    before = context.state.metric_records.get("seen", MetricRecord({"times": 0}))
    context.state["seen"] = MetricRecord({"times": int(before["times"]) + 1})
    reply = call_next(message, context)
    reply.content.metric_records["metrics"]["seen"] = context.state.metric_records["seen"]["times"]
    return reply


client = ClientApp(mods=[count])
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """Add to the model how often this client was asked, evaluations included."""
    (model,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    model = model + float(context.state.metric_records["seen"]["times"])
    content = {"arrays": ArrayRecord([model]), "metrics": MetricRecord({"num-examples": 1})}
    return Message(RecordDict(content), reply_to=message)


@client.evaluate()
def evaluate(message: Message, _: Context) -> Message:
    """Return the model's sum."""
    (model,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"num-examples": 1, "sum": float(model.sum())})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train for three rounds, and save the model and what the clients have counted."""
    result = FedMedian().start(grid, ArrayRecord([np.zeros(4)]), num_rounds=3)
    (model,) = result.arrays.to_numpy_ndarrays()
    seen = [float(one["seen"]) for _, one in sorted(result.evaluate_metrics_clientapp.items())]
    np.savez(Path(str(context.run_config["out"])) / "result.npz", model=model, seen=seen)
