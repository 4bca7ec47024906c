"""Adds one to the model, and says how large it is."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return the model plus one; on the node that is to be spoilt, something that no strategy can use."""
    model = message.content.array_records["arrays"]["model"].numpy()
    if context.run_config["spoil-node"] == str(context.node_id):
        model = model[:-1] if context.run_config["spoil"] == "shape" else model * float("nan")
    reply = RecordDict(
        {
            "arrays": ArrayRecord({"model": Array(model + 1)}),
            "metrics": MetricRecord({"num-examples": 1, "loss": float(model[0])}),
        }
    )
    return Message(reply, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Return the model's first element as its loss."""
    model = message.content.array_records["arrays"]["model"].numpy()
    metrics = MetricRecord({"num-examples": 1, "loss": float(model[0])})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
