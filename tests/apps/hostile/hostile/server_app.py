"""Asks every node once and writes the answers down."""

from __future__ import annotations

import json
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask, and save what came back."""
    messages = [
        Message(RecordDict(), node, "query", ttl=float(context.run_config["seconds"])) for node in grid.get_node_ids()
    ]
    replies = grid.send_and_receive(messages, timeout=60)
    outcomes = [reply.content.config_records["outcome"]["outcomes"] for reply in replies]
    Path("outcomes.json").write_text(json.dumps(outcomes), encoding="utf-8")
