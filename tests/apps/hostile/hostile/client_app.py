"""Makes the attempts at a node; what came of them goes back as a configuration record."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from hostile.attempts import attempts

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Make the attempts that the run's configuration names."""
    what = str(context.run_config["attempt"])
    outcomes = attempts(what, str(context.run_config["target"]))
    content = RecordDict({"outcome": ConfigRecord({"outcomes": outcomes})})
    if what.startswith("reply with"):
        content["arrays"] = ArrayRecord({"model": Array(np.zeros(1 << 18, np.float32))})
    return Message(content, reply_to=message)
