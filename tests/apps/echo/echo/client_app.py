"""Adds one to the model, and says how large it is."""

from __future__ import annotations

import time

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return the model plus one; on the node that is to be spoilt, something that no strategy can use.

    A client that is to remember adds, instead of one, how often it has trained in this run.
    """
    config = context.run_config
    time.sleep(float(config["pause"]))
    arrays = message.content.array_records["arrays"]
    step = 1 + context.node_id % 1000 / 1000 if config["distinct"] else 1
    if config["remember"]:
        before = context.state.metric_records.get("trained", MetricRecord({"times": 0}))
        step = int(before["times"]) + 1
        context.state["trained"] = MetricRecord({"times": step})
        context.state["model"] = ArrayRecord(dict(arrays))
    reply = ArrayRecord()
    for name, array in arrays.items():
        model = array.numpy()
        if config["spoil-node"] == str(context.node_id):
            if config["spoil"] == "fewer":
                break
            model = model[:-1] if config["spoil"] == "shape" else model * float("nan")
        model += np.float32(step)
        reply[name] = Array(model)
    metrics = MetricRecord({"num-examples": 1, "loss": _loss(arrays)})
    return Message(RecordDict({"arrays": reply, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Return the model's first element as its loss."""
    metrics = MetricRecord({"num-examples": 1, "loss": _loss(message.content.array_records["arrays"])})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _loss(arrays: ArrayRecord) -> float:
    return float(next(iter(arrays.values())).numpy()[0])
