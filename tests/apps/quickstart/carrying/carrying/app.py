"""Arrays of every type and shape, and a large configuration with a value of every type, there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

client = ClientApp()
server = ServerApp()
TYPES = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
)
ARRAYS = {
    **{name: np.arange(24).reshape(2, 3, 4).astype(name) for name in TYPES},
    "nothing": np.zeros((0, 3), np.float32),
    "one number": np.array(2.5),
    "one float16": np.array(1.5, np.float16),
    "columns first": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "every other": np.arange(20, dtype=np.int32)[::2],
    "big-endian": np.arange(5, dtype=">f4"),
    "largest": np.array([np.iinfo(np.uint64).max], np.uint64),
    "above what goes inline": np.arange(300_000, dtype=np.float32),
}
CONFIG = {
    "text": "å" * 100_000,
    "bytes": bytes(range(256)) * 500,
    "numbers": [one / 7 for one in range(10_000)],
    "whole": [-(2**63), 2**63 - 1, 0],
    "words": ["a", "", "ß"],
    "parts": [b"", b"\x00"],
    "flags": [True, False],
    "yes": True,
    "one": 1,
    "one and a half": 1.5,
    "no words": [],
}


@client.query()
def back(message: Message, _: Context) -> Message:
    """Return what came, and as what it came."""
    content = message.content
    arrays = content.array_records["arrays"]
    metrics = MetricRecord({name: list(array.numpy().shape) for name, array in arrays.items()})
    types = ConfigRecord(
        {name: type(value).__name__ for name, value in content.config_records["config"].items()}
        | {f"array {name}": array.numpy().dtype.name for name, array in arrays.items()}
    )
    back = {"arrays": arrays, "config": content.config_records["config"], "shapes": metrics, "types": types}
    return Message(RecordDict(back), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Save what comes back; nothing of it has changed on the way."""
    content = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(one) for name, one in ARRAYS.items()}),
            "config": ConfigRecord(CONFIG),
        }
    )
    for reply in grid.send_and_receive([Message(content, node, "query") for node in grid.get_node_ids()]):
        found = reply.content
        if dict(found.config_records["config"]) != CONFIG:
            raise ValueError("The configuration has changed.")
        arrays = {name: array.numpy() for name, array in found.array_records["arrays"].items()}
        arrays["big-endian"] = arrays["big-endian"].astype(np.float32)  # numbers are the same, in either order of bytes
    shapes = {f"shape of {name}": value for name, value in found.metric_records["shapes"].items()}
    types = "\n".join(f"{name}: {value}" for name, value in found.config_records["types"].items())
    out = Path(str(context.run_config["out"])) / "result.npz"
    np.savez(out, **{name.replace(" ", "-"): one for name, one in (arrays | shapes | {"types": types}).items()})
