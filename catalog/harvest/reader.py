"""The process that reads a page of a stranger: ``python -m catalog.harvest.reader FORM BASE``, page on its stdin.

A page that would take forever, fill the memory or crash the parser ends this process and not the lab server. It has
neither the catalog nor a key, can open no connection and start no process, and writes nothing but its answer.
"""

from __future__ import annotations

import json
import resource
import sys

from catalog.harvest.parsing import UnreadableError, parse
from catalog.harvest.reading import read

SECONDS = 60
"""Processor time for one page."""
_MEMORY = 2 << 30
_FORBIDDEN = ("socket.", "urllib.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "ctypes.dlopen")


class _ForbiddenError(BaseException):
    """Reading would have done what it may not; no parser catches this."""


def _confine() -> None:
    """Give up what reading does not need; none of it can be had back."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def refuse(event: str, _: object) -> None:
        if event.startswith(_FORBIDDEN):
            raise _ForbiddenError(event)

    sys.addaudithook(refuse)


def main() -> None:
    """Read the page on standard input, and write what it says to standard output."""
    form, base = sys.argv[1:]
    data = sys.stdin.buffer.read()
    _confine()
    try:
        said = read(parse(data, form, base))
    except UnreadableError as error:
        said = {"error": str(error)}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
