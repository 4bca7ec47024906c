"""Settings of every type, nested ones too, as server and clients find them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

client = ClientApp()
server = ServerApp()


def described(context: Context) -> list[str]:
    """Return each setting with its type, but where files go: that is another folder on each engine."""
    return [
        f"{name} = {value!r} ({type(value).__name__})"
        for name, value in sorted(context.run_config.items())
        if name != "out"
    ]


@client.query("settings")
def settings(message: Message, context: Context) -> Message:
    """Return the settings of the run, and what this node knows of itself."""
    of_node = [f"{name} = {context.node_config[name]!r}" for name in ("num-partitions", "kind")]
    content = ConfigRecord({"run": described(context), "node": of_node})
    return Message(RecordDict({"settings": content}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Save the settings as they are at the server and at the nodes, which all have the same."""
    messages = [Message(RecordDict(), node, "query.settings") for node in grid.get_node_ids()]
    found = [one.content.config_records["settings"] for one in grid.send_and_receive(messages)]
    if any(dict(one) != dict(found[0]) for one in found):
        raise ValueError("The nodes have been told different things.")
    out = Path(str(context.run_config["out"])) / "result.npz"
    np.savez(out, server=described(context), run=found[0]["run"], node=found[0]["node"])
