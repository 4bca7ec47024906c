"""k-means without arrays or a strategy: centres go out and sums come back in configurations, as lists and bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

client = ClientApp()
server = ServerApp()
CLUSTERS, COLUMNS = 3, 2


@client.query("nearest")
def nearest(message: Message, context: Context) -> Message:
    """Return sum and number of the points that are nearest to each centre, and the digest of the centres."""
    number = int(context.node_config["partition-id"])
    rng = np.random.default_rng(number)
    points = rng.integers(0, 100, (40 + 30 * number, COLUMNS)) + 200 * rng.integers(0, CLUSTERS, (40 + 30 * number, 1))
    asked = message.content.config_records["centres"]
    centres = np.frombuffer(bytes(asked["bytes"]), np.float64).reshape(int(asked["rows"]), -1)
    closest = np.square(points[:, None] - centres[None]).sum(axis=2).argmin(axis=1)
    sums = [[int(one) for one in points[closest == which].sum(axis=0)] for which in range(len(centres))]
    content = ConfigRecord(
        {
            "sums": [one for row in sums for one in row],
            "counts": np.bincount(closest, minlength=len(centres)).tolist(),
            "of": hashlib.sha256(bytes(asked["bytes"])).digest(),
            "names": [f"cluster {which}" for which in range(len(centres))],
            "empty": [bool(one) for one in np.bincount(closest, minlength=len(centres)) == 0],
        }
    )
    return Message(RecordDict({"nearest": content}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Move the centres three times, and save where they are."""
    centres = np.array([[0.0, 0.0], [250.0, 250.0], [500.0, 500.0]])
    for _ in range(3):
        sent = centres.tobytes()
        content = RecordDict({"centres": ConfigRecord({"bytes": sent, "rows": CLUSTERS})})
        messages = [Message(content, node, "query.nearest") for node in grid.get_node_ids()]
        found = [one.content.config_records["nearest"] for one in grid.send_and_receive(messages)]
        if any(one["of"] != hashlib.sha256(sent).digest() for one in found):
            raise ValueError("A node was asked about other centres.")
        counts = np.sum([one["counts"] for one in found], axis=0)
        sums = np.sum([one["sums"] for one in found], axis=0).reshape(CLUSTERS, COLUMNS)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    np.savez(Path(str(context.run_config["out"])) / "result.npz", centres=centres, counts=counts)
