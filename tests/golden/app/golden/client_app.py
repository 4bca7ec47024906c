"""Multiplies what it is sent."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return every array times the run's scale."""
    scale = float(context.run_config["scale"])
    sent = message.content.array_records["arrays"]
    reply = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(array.numpy() * scale) for name, array in sent.items()}),
            "metrics": MetricRecord({"num-examples": 7}),
        }
    )
    return Message(reply, reply_to=message)
