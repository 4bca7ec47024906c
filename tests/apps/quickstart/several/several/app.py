"""Two models in one message, sent and received by the app's own loop, without a strategy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

client = ClientApp()
server = ServerApp()


@client.train("both")
def both(message: Message, _: Context) -> Message:
    """Return both models, each changed in its own way, and a third of another type."""
    up = message.content.array_records["up"]["w"].numpy() + np.float32(1)
    down = message.content.array_records["down"]["w"].numpy() * 0.5
    content = {
        "up": ArrayRecord({"w": Array(up)}),
        "down": ArrayRecord({"w": Array(down)}),
        "signs": ArrayRecord({"s": Array((down > 0).astype(np.int8))}),
    }
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Go three rounds, and save what the models are then."""
    rng = np.random.default_rng(2)
    up, down = rng.standard_normal((200, 200)).astype(np.float32), rng.standard_normal(30)
    signs = np.zeros(0, np.int8)
    for number in range(3):
        content = RecordDict({"up": ArrayRecord({"w": Array(up)}), "down": ArrayRecord({"w": Array(down)})})
        messages = [Message(content, node, "train.both", group_id=str(number)) for node in grid.get_node_ids()]
        replies = [one.content.array_records for one in grid.send_and_receive(messages)]
        up, down, signs = (
            np.max([one[name][key].numpy() for one in replies], axis=0)
            for name, key in (("up", "w"), ("down", "w"), ("signs", "s"))
        )
    np.savez(Path(str(context.run_config["out"])) / "result.npz", up=up, down=down, signs=signs)
