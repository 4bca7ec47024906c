"""What a sandbox must hold, tried from the inside; ``bubblewrap.check_sandbox`` runs this before any foreign code."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path


def main() -> None:
    """End with a sentence on stderr if anything is possible that must not be."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    if int(status["CapEff"], 16) or int(status["CapPrm"], 16):
        sys.exit("the sandbox leaves capabilities")
    if status["NoNewPrivs"] != "1" or status["Seccomp"] != "2":
        sys.exit("the filter of system calls is not in force")
    if _opens_socket():
        sys.exit("the sandbox has a network")
    if _writes_to_root():
        sys.exit("the sandbox's root can be written to")
    if _forks(int(sys.argv[1]) if len(sys.argv) > 1 else 16):
        sys.exit("the limit of processes does not hold")


def _opens_socket() -> bool:
    try:
        socket.socket(socket.AF_INET).close()
    except OSError:
        return False
    return True


def _writes_to_root() -> bool:
    try:
        Path("/datalab-trial").touch()
    except OSError:
        return False
    return True


def _forks(count: int) -> bool:
    """Whether ``count`` children can live at the same time."""
    hold, release = os.pipe()
    children = []
    try:
        for _ in range(count):
            child = os.fork()
            if child == 0:
                os.close(release)
                os.read(hold, 1)
                os._exit(0)
            children.append(child)
    except OSError:
        return False
    finally:
        os.close(release)
        for child in children:
            os.waitpid(child, 0)
    return True


if __name__ == "__main__":
    main()
