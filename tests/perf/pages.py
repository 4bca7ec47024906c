"""What each page weighs on its way into a browser, and when something of it is seen.

``python -m tests.perf.pages --datasets 100000 --json``

A whole lab of real processes with something on every page (``tests.support.filled``) and ``--datasets`` in its catalog.
Debian's Chromium opens each page as somebody who comes for the first time: nothing is kept, so scripts and styles are
counted. ``fcp_ms`` is the browser's own first contentful paint, the median of ``--times``; ``kb`` (10^3 bytes) is what
came over the line, heads included; ``requests`` how many answers. What a page that changes by itself is sent later is
not counted.

How soon anything is painted depends on what else the machine does, so beside each page a page with one word and nothing
else is opened from loopback: ``empty_ms`` is its paint, ``max_ratio`` the most that a page's is of that beside it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from catalog.search.index import SearchIndex
from catalog.store import Store
from datalab.home import Home
from datalab.service import log_json_lines
from datalab.storage.service import SERVICE as OBJECT_STORE
from datalab.supervisor import Supervisor
from tests.perf.catalog import fill, generate
from tests.support.every_page import HALF, PLACES, Place
from tests.support.filled import Filled, filled_lab

_EMPTY = b"<!doctype html><title>Empty</title><link rel=icon href='data:,'><p>Empty</p>"
_PAINTED = """() => new Promise((found) => {
    const look = (list) => { for (const one of list.getEntriesByName("first-contentful-paint")) found(one.startTime); };
    new PerformanceObserver(look).observe({type: "paint", buffered: true});
})"""


@contextmanager
def empty_page() -> Iterator[str]:
    """Serve a page with one word on loopback, and give its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(_EMPTY)))
            self.end_headers()
            self.wfile.write(_EMPTY)

        def log_message(self, *_: object) -> None:
            """Say nothing of requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def paint(chromium: Browser, address: str) -> float:
    """Open a page as somebody who has never been here, and return when something of it is seen (ms)."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(address)
    painted = float(page.evaluate(_PAINTED))
    context.close()
    return painted


def weigh(chromium: Browser, filled: Filled, place: Place) -> dict[str, float]:
    """Open a page as somebody who has never been here; return ``fcp_ms``, ``kb`` and ``requests``."""
    context = chromium.new_context(base_url=filled.url, viewport={"width": 1280, "height": 900})
    cookie = filled.half if place in HALF else filled.cookies[place.role] if place.role else ""
    if cookie:
        context.add_cookies([{"name": "datalab", "value": cookie, "url": filled.url, "sameSite": "Strict"}])
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    answer = page.goto(place.at(filled.names))
    if answer is None or answer.status != place.status:
        raise AssertionError(f"{place.name} answers with {answer and answer.status}")
    painted = page.evaluate(_PAINTED)
    context.close()
    return {"fcp_ms": round(painted, 1), "kb": round(sum(sizes) / 1000, 1), "requests": len(sizes)}


def measure(filled: Filled, times: int) -> dict[str, Any]:
    """Weigh every page, ``times`` times, and return what was found, page by page and at the most."""
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("This needs chromium: apt-get install chromium")
    pages: dict[str, dict[str, float]] = {}
    with sync_playwright() as playwright, empty_page() as empty:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for place in PLACES:
            beside = [(paint(chromium, empty), weigh(chromium, filled, place)) for _ in range(times)]
            found = [one for _, one in beside]
            pages[place.name] = {
                "fcp_ms": statistics.median(one["fcp_ms"] for one in found),
                "empty_ms": statistics.median(one for one, _ in beside),
                "ratio": round(statistics.median(one["fcp_ms"] / max(one_empty, 1) for one_empty, one in beside), 2),
                "kb": max(one["kb"] for one in found),
                "requests": max(one["requests"] for one in found),
            }
        chromium.close()
    most = {
        figure: max(pages, key=lambda name: pages[name][figure]) for figure in ("fcp_ms", "ratio", "kb", "requests")
    }
    return {
        "pages": pages,
        "median_fcp_ms": statistics.median(one["fcp_ms"] for one in pages.values()),
        "median_empty_ms": statistics.median(one["empty_ms"] for one in pages.values()),
        **{f"max_{figure}": pages[name][figure] for figure, name in most.items()},
        "max_at": most,
    }


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    log_json_lines()  # on standard error
    with tempfile.TemporaryDirectory() as name, Supervisor() as supervisor:
        store_home, folder = Home(Path(name) / "store"), Path(name) / "whole"
        (store_home.folder() / "datalab.toml").write_text("[ports]\nobject_store = 0\n", encoding="utf-8")
        supervisor.start(OBJECT_STORE.name, OBJECT_STORE.module, store_home)
        lab = Home(folder / "lab")
        fill(lab, generate(arguments.datasets, random.Random(arguments.seed)))
        store = Store(lab.folder("catalog") / "records.duckdb")
        with redirect_stdout(sys.stderr):  # its log is no part of the result
            SearchIndex(lab.folder("catalog") / "search", store).close()  # the lab would take longer than it may
        store.close()
        with filled_lab(store_home, folder) as filled:
            result = {"datasets": arguments.datasets, **measure(filled, arguments.times)}
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        for page, found in result["pages"].items():
            ratio, kb, answers = found["ratio"], found["kb"], found["requests"]
            print(f"{page:28} {found['fcp_ms']:8.1f} ms, {ratio:6.2f} times empty {kb:8.1f} kB {answers:4} answers")
        print(f"at the most {result['max_fcp_ms']} ms, {result['max_kb']} kB, {result['max_requests']} answers")


if __name__ == "__main__":
    main()
