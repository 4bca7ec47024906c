"""A process for reading what a stranger wrote: what never ends, fills the memory or crashes the parser ends it alone.

It has no environment, is handed no key, opens no connection and starts no process, and is bounded in processor time,
memory and the size of what it writes. Its answer comes on its standard output, for the caller to check.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from tempfile import TemporaryFile
from threading import Event

MEMORY = 2 << 30
_FORBIDDEN = ("socket.", "urllib.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "ctypes.dlopen")
_LOOKS_EVERY = 0.5


class ForbiddenError(BaseException):
    """Reading would have done what it may not; no parser catches this."""


def read_apart(
    module: str, arguments: Sequence[str], data: bytes = b"", *, seconds: float, stopped: Event | None = None
) -> bytes | None:
    """Run ``python -m module arguments``, which calls ``confine``, and return its answer; None where it gave none.

    Args:
        module: of the process.
        arguments: no secret: other users of the machine see them.
        data: on its standard input.
        seconds: on the clock, after which it is ended.
        stopped: ends it, too, once it is set.
    """
    paths = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    ends, answer = time.monotonic() + seconds, None
    with TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        with subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={"LC_ALL": "C.UTF-8", **paths},
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            while answer is None and time.monotonic() < ends and not (stopped is not None and stopped.is_set()):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    answer, _ = process.communicate(timeout=_LOOKS_EVERY)
            if answer is None:
                process.kill()
                process.communicate()
    return answer if process.returncode == 0 else None


def confine(*, seconds: int, memory: int = MEMORY, written: int = 0) -> None:
    """Give up, in the process that reads, what reading does not need; none of it can be had back.

    Args:
        seconds: of processor time.
        memory: bytes of address space.
        written: bytes of the largest file that it may write.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def refuse(event: str, _: object) -> None:
        if event.startswith(_FORBIDDEN):
            raise ForbiddenError(event)

    sys.addaudithook(refuse)
