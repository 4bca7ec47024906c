"""Makes an attempt on each target; what it got, or the name of the exception, goes back as a configuration record."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def attempt(what: str, target: str) -> str:  # noqa: C901, PLR0912 - a list of attempts
    """Return what came of it."""
    match what:
        case "connect":
            host, port = target.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=2).close()
        case "read":
            return Path(target).read_text(encoding="utf-8", errors="replace")[:100]
        case "open for writing":
            os.close(os.open(target, os.O_WRONLY))
        case "kernel settings":
            found = [path for path in Path("/proc/sys").rglob("*") if path.is_file() and os.access(path, os.W_OK)]
            return str(sum(_opens(path) for path in found))
        case "allocate":
            return str(len(bytearray(int(target))))
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


def _opens(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return True


@app.query()
def query(message: Message, context: Context) -> Message:
    """Make the attempts that the run's configuration names."""
    what = str(context.run_config["attempt"])
    outcomes = []
    for target in str(context.run_config["target"]).split(","):
        try:
            outcomes.append(attempt(what, target))
        except (OSError, MemoryError) as error:
            outcomes.append(f"refused: {type(error).__name__}")
    return Message(RecordDict({"outcome": ConfigRecord({"outcomes": outcomes})}), reply_to=message)
