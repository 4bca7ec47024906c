"""No strategy and no model: a mean and a deviation by two kinds of queries, pushed and pulled."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

client = ClientApp()
server = ServerApp()
VALUES = np.arange(10.0)


@client.query("sums")
def sums(message: Message, _: Context) -> Message:
    """Return number and sum of the values."""
    metrics = MetricRecord({"count": len(VALUES), "sum": float(VALUES.sum())})
    return Message(RecordDict({"sums": metrics}), reply_to=message)


@client.query("squares")
def squares(message: Message, _: Context) -> Message:
    """Return the sum of squares around the mean that is asked about."""
    mean = float(message.content.config_records["around"]["mean"])
    metrics = MetricRecord({"squares": [float(one) for one in np.square(VALUES - mean)]})
    return Message(RecordDict({"squares": metrics}), reply_to=message)


def ask(grid: Grid, kind: str, content: RecordDict) -> list[MetricRecord]:
    """Ask every node, and wait until all have answered."""
    nodes = list(grid.get_node_ids())
    waiting = set(grid.push_messages([Message(content, node, f"query.{kind}") for node in nodes]))
    found = []
    while waiting:
        for reply in grid.pull_messages(waiting):
            waiting.discard(reply.metadata.reply_to_message_id)
            found.append(reply.content.metric_records[kind])
        time.sleep(0.05)
    return found


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Save number, mean and standard deviation of all values."""
    found = ask(grid, "sums", RecordDict())
    count = sum(int(one["count"]) for one in found)
    mean = sum(float(one["sum"]) for one in found) / count
    around = ask(grid, "squares", RecordDict({"around": ConfigRecord({"mean": mean})}))
    deviation = np.sqrt(sum(sum(one["squares"]) for one in around) / count)
    np.savez(Path(str(context.run_config["out"])) / "result.npz", all=[count, mean, deviation])
