"""What a stranger's file might do to the process that reads it; ``python -m tests.support.stranger WHAT``."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from datalab.confined import confine

MEMORY = 512 << 20


def main() -> None:
    """Do it."""
    what, data = sys.argv[1], sys.stdin.buffer.read()
    confine(seconds=1, memory=MEMORY, written=1000)
    match what:
        case "answer":
            print(data.decode(), *sorted(os.environ), sep=",", end="")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "memory":
            bytearray(2 * MEMORY)
        case "forever":
            while True:
                pass
        case "sleep":
            signal.pause()
        case "connect":
            socket.create_connection(("127.0.0.1", int(data)), timeout=5)
        case "start":
            subprocess.run(["true"], check=True)
        case "library":
            ctypes.CDLL(None)
        case "write":
            Path(data.decode()).write_bytes(b"x" * 2000)


if __name__ == "__main__":
    main()
