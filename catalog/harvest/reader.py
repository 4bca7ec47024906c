"""The process that reads a page of a stranger: ``python -m catalog.harvest.reader FORM BASE``, page on its stdin.

A page that would take forever, fill the memory or crash the parser ends this process and not the lab server. It has
neither the catalog nor a key, can open no connection and start no process, and writes nothing but its answer.
"""

from __future__ import annotations

import json
import sys

from catalog.harvest.parsing import UnreadableError, parse
from catalog.harvest.reading import read
from datalab.confined import confine

SECONDS = 60
"""Processor time for one page."""


def main() -> None:
    """Read the page on standard input, and write what it says to standard output."""
    form, base = sys.argv[1:]
    data = sys.stdin.buffer.read()
    confine(seconds=SECONDS)
    try:
        said = read(parse(data, form, base))
    except UnreadableError as error:
        said = {"error": str(error)}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
