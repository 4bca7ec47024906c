"""Returns the model plus one."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return the model plus one."""
    del context
    model = message.content.array_records["arrays"]["model"].numpy()
    reply = {"arrays": ArrayRecord({"model": Array(model + 1)}), "metrics": MetricRecord({"num-examples": 1})}
    return Message(RecordDict(reply), reply_to=message)
