"""Makes one attempt; what it got, or the name of the exception, goes back as a configuration record."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def attempt(what: str, target: str) -> str:
    """Return what came of it."""
    match what:
        case "connect":
            host, port = target.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=2).close()
        case "read":
            return Path(target).read_text(encoding="utf-8", errors="replace")[:100]
        case "write":
            Path(target).write_text("was here", encoding="utf-8")
        case "environment":
            return " ".join(sorted(os.environ))
        case "processes":
            return " ".join(path.name for path in Path("/proc").iterdir() if path.name.isdigit())
        case "print":
            print("a stray line on standard output", flush=True)
            sys.stdout.buffer.write(b"\0\0\0\4junk")
        case "exit":
            os._exit(3)
        case "hang":
            time.sleep(3600)
        case "raise":
            raise ValueError(f"a row of {target}")
        case _:
            raise AssertionError(what)
    return "done"


@app.query()
def query(message: Message, context: Context) -> Message:
    """Make the attempt that the run's configuration names."""
    config = context.run_config
    if config["attempt"] == "raise":
        attempt("raise", str(config["target"]))
    try:
        outcome = attempt(str(config["attempt"]), str(config["target"]))
    except OSError as error:
        outcome = f"refused: {type(error).__name__}"
    return Message(RecordDict({"outcome": ConfigRecord({"outcome": outcome})}), reply_to=message)
