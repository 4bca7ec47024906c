"""Reads the rarest row of the dataset, and fails in the way that the message names, saying it aloud."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from federation.errors import WireError
from federation.pb import federation_pb2, worker_pb2
from federation.wire.pipe import encode_frame

app = ClientApp()


def arrays(name: str, values: list[float]) -> RecordDict:
    """Return a reply with one array."""
    return RecordDict({"arrays": ArrayRecord({name: Array(np.array(values, np.float32))})})


def write_everywhere(data: bytes) -> None:
    """Write into every pipe that this process has, the one to the agent among them."""
    for descriptor in range(256):
        try:
            if Path(f"/proc/self/fd/{descriptor}").readlink().name.startswith("pipe:"):
                os.write(descriptor, data)
        except OSError:
            continue


def fail(way: str, row: str, message: Message) -> RecordDict:  # noqa: C901 - a list of ways
    """Fail with a row, or reply with something that is refused because of it."""
    match way:
        case "exception":
            raise ValueError(f"cannot convert {row}")
        case "named exception":
            raise type(row, (Exception,), {})(row)
        case "our own error":
            raise WireError(row)
        case "path":
            Path("/datalab", row).read_bytes()
        case "leave":
            sys.exit(row)
        case "metric name":
            return RecordDict({"metrics": MetricRecord({row * 500: 1.0})})
        case "setting":
            return RecordDict({"config": ConfigRecord({"row": {row}})})  # type: ignore[dict-item]
        case "stray array":
            return RecordDict({"arrays": ArrayRecord({row: Array(np.array([row]))})})
        case "not finite":
            return arrays(row, [float("nan")])
        case "shape":
            return RecordDict({**arrays("model", [1.0]), row: MetricRecord({row: 1.0})})
        case "print":
            print(row, flush=True)
            write_everywhere(row.encode() * 3)
            os._exit(1)
        case "forged error":
            task = message.metadata.message_id
            reply = federation_pb2.Reply(run_id=row, task_id=task, node=row, app_seconds=float(row))
            reply.error.code, reply.error.message = federation_pb2.TASK_ERROR_CODE_REFUSED, row
            write_everywhere(encode_frame(worker_pb2.WorkerResponse(reply=reply)))
            os._exit(1)
    raise AssertionError(way)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Fail."""
    data = str(context.node_config["dataset"])
    (row,) = duckdb.execute("SELECT x FROM read_parquet(?) WHERE x <> round(x, 1)", [data]).fetchall()[0]
    return Message(fail(str(message.content.config_records["config"]["way"]), str(row), message), reply_to=message)
