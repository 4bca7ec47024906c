"""Asks every node once and writes the answers down; or, at the lab, makes the attempts itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from hostile.attempts import attempts

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask, or attempt, and save what came of it."""
    config = context.run_config
    content = RecordDict()
    if config["at"] == "lab":
        what = str(config["attempt"])
        outcomes = [attempts(what, str(config["target"]))]
        if what.startswith("reply with"):  # what a node is to fetch is not there
            content["arrays"] = ArrayRecord({"model": Array(np.zeros(1 << 18, np.float32))})
            list(grid.send_and_receive([Message(content, node, "query") for node in grid.get_node_ids()]))
    else:
        messages = [Message(content, node, "query", ttl=float(config["seconds"])) for node in grid.get_node_ids()]
        replies = grid.send_and_receive(messages, timeout=60)
        outcomes = [reply.content.config_records["outcome"]["outcomes"] for reply in replies]
    Path("outcomes.json").write_text(json.dumps(outcomes), encoding="utf-8")
