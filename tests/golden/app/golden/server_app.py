"""Sends two arrays to every node, and fails unless each comes back multiplied."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Send once, and compare."""
    scale = float(context.run_config["scale"])
    arrays = {"small": np.arange(4, dtype=np.float64), "large": np.arange(40_000, dtype=np.float64)}
    content = RecordDict({"arrays": ArrayRecord({name: Array(values) for name, values in arrays.items()})})
    messages = [Message(content, node, "train", group_id="1") for node in grid.get_node_ids()]
    for reply in grid.send_and_receive(messages):
        got = reply.content.array_records["arrays"]
        for name, values in arrays.items():
            np.testing.assert_array_equal(got[name].numpy(), values * scale)
