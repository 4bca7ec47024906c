"""Reads a catalogue page by page with CKAN's own parser, as its harvester does; prints what it found as JSON.

Run in the environment of ``make peers``: ``python tests/support/ckan_reads.py ADDRESS``.
"""

from __future__ import annotations

import json
import sys
import urllib.request

from ckanext.dcat.processors import RDFParser  # type: ignore[import-not-found]  # of another environment


def main() -> None:
    """Follow the pages from the address until none is named, or one is like the one before."""
    address: str | None = sys.argv[1]
    found, pages, last = [], 0, b""
    while address is not None:
        with urllib.request.urlopen(address, timeout=60) as answer:
            content, form = answer.read(), answer.headers.get_content_type()
        if content == last:
            break
        parser = RDFParser(profiles=["euro_dcat_ap_3"])
        parser.parse(content, _format=form)
        found += list(parser.datasets())
        pages, last, address = pages + 1, content, parser.next_page()
    json.dump({"pages": pages, "datasets": found}, sys.stdout, default=str)


if __name__ == "__main__":
    main()
