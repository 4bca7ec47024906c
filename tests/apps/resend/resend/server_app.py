"""Asks each node until it has answered."""

from __future__ import annotations

import time

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Send the same model until it has come back from every node, and save how often it was sent."""
    size = int(context.run_config["bytes"]) // 4
    model = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    content = RecordDict({"arrays": ArrayRecord({"model": Array(model)})})
    left, sent = set(grid.get_node_ids()), 0
    while left:
        sent += len(left)
        waiting = set(grid.push_messages([Message(content, node, "train", group_id="1") for node in sorted(left)]))
        while waiting:
            for reply in grid.pull_messages(waiting):
                waiting.discard(reply.metadata.reply_to_message_id)
                if not reply.has_error():
                    np.testing.assert_array_equal(reply.content.array_records["arrays"]["model"].numpy(), model + 1)
                    left.discard(reply.metadata.src_node_id)
            time.sleep(0.05)
    np.save("sent.npy", sent)
