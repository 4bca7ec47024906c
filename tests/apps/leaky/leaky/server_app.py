"""Sends every node one model."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Have the model trained once."""
    model = ArrayRecord({"model": Array(np.zeros(3, np.float32))})
    grid.send_and_receive([Message(RecordDict({"arrays": model}), node, "train") for node in grid.get_node_ids()])
