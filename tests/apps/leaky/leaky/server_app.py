"""Sends every node one model for each way to fail, and writes down what came back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from federation.errors import RunFailedError

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Have the model trained."""
    said = {}
    for way in str(context.run_config["ways"]).split(","):
        model = ArrayRecord({"model": Array(np.zeros(3, np.float32))})
        content = RecordDict({"arrays": model, "config": ConfigRecord({"way": way})})
        try:
            grid.send_and_receive([Message(content, node, "train") for node in grid.get_node_ids()])
            said[way] = "replied"
        except RunFailedError as error:
            said[way] = str(error)
    Path("said.json").write_text(json.dumps(said), encoding="utf-8")
