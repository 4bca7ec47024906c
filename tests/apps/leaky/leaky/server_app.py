"""Sends every node one model for each way to fail, and writes down what came back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Have the model trained."""
    said = {}
    for way in str(context.run_config["ways"]).split(","):
        model = ArrayRecord({"model": Array(np.zeros(3, np.float32))})
        content = RecordDict({"arrays": model, "config": ConfigRecord({"way": way})})
        waiting = set(grid.push_messages([Message(content, node, "train") for node in grid.get_node_ids()]))
        while waiting:
            for reply in grid.pull_messages(waiting):
                waiting.discard(reply.metadata.reply_to_message_id)
                said[way] = f"answered with an error: {reply.error.reason}" if reply.has_error() else "replied"
            time.sleep(0.02)
    Path("said.json").write_text(json.dumps(said), encoding="utf-8")
