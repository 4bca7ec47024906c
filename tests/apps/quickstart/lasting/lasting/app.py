"""What lasts as long as a message or a run: a lifespan around each of the apps, and a state of arrays and settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

client = ClientApp()
server = ServerApp()
ROUNDS = 3


@client.lifespan()
def around_each_message(context: Context) -> Iterator[None]:
    """Begin a state where there is none, and note in it that a message was begun and ended."""
    if "momentum" not in context.state:
        context.state["momentum"] = ArrayRecord([np.zeros(6)])
        context.state["notes"] = ConfigRecord({"said": [""], "key": b"\x00\xff", "open": False})
    notes = context.state.config_records["notes"]
    notes["open"] = True
    yield
    notes["open"] = False
    notes["said"] = [*notes["said"], "ended"]


@server.lifespan()
def around_the_run(context: Context) -> Iterator[None]:
    """Write a file before the run and another one after it."""
    out = Path(str(context.run_config["out"]))
    (out / "begun.txt").write_text("begun", encoding="utf-8")
    yield
    (out / "ended.txt").write_text((out / "begun.txt").read_text(encoding="utf-8"), encoding="utf-8")


@client.train()
def train(message: Message, context: Context) -> Message:
    """Return the momentum that this node keeps, and how many messages came before."""
    (momentum,) = context.state.array_records["momentum"].to_numpy_ndarrays()
    notes = context.state.config_records["notes"]
    momentum = 0.5 * momentum + message.content.array_records["step"]["0"].numpy()
    context.state["momentum"] = ArrayRecord([momentum])
    content = {
        "momentum": ArrayRecord([momentum]),
        "seen": MetricRecord({"before": len(notes["said"]) - 1, "key": list(bytes(notes["key"]))}),
    }
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Send each node its own steps, and save where the momenta are."""
    nodes = sorted(grid.get_node_ids())
    found, before = [], []
    for number in range(ROUNDS):
        content = RecordDict({"step": ArrayRecord([np.full(6, number + 1.0)])})
        replies = list(
            grid.send_and_receive([Message(content, node, MessageType.TRAIN) for node in nodes], timeout=600)
        )
        found.append(np.mean([one.content.array_records["momentum"]["0"].numpy() for one in replies], axis=0))
        before += [int(one.content.metric_records["seen"]["before"]) for one in replies]
    np.savez(Path(str(context.run_config["out"])) / "result.npz", found=found, before=before)
