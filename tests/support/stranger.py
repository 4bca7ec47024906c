"""What a stranger's file might do to the process that reads it; ``python -m tests.support.stranger WHAT``."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from datalab.confined import confine

MEMORY = 512 << 20


def main() -> None:
    """Do it."""
    what, data = sys.argv[1], sys.stdin.buffer.read()
    confine(seconds=1, memory=MEMORY, written=1000)
    print(DOES[what](data.decode()) or "", end="")


def wait_forever(_: str) -> None:
    while True:
        pass


DOES: dict[str, Callable[[str], object]] = {
    "answer": lambda asked: ",".join([asked, *sorted(os.environ)]),
    "crash": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "memory": lambda _: len(bytearray(2 * MEMORY)),
    "forever": wait_forever,
    "sleep": lambda _: signal.pause(),
    "connect": lambda port: socket.create_connection(("127.0.0.1", int(port)), timeout=5),
    "start": lambda _: subprocess.run(["true"], check=True),
    "library": lambda _: ctypes.CDLL(None),
    "write": lambda path: Path(path).write_bytes(b"x" * 2000),
}

if __name__ == "__main__":
    main()
