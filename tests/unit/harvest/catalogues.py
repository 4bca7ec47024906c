"""A catalogue on a server of its own, which a test changes as another catalogue's owner would."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIXES = """
@prefix dcat: <http://www.w3.org/ns/dcat#> .
@prefix dct: <http://purl.org/dc/terms/> .
@prefix foaf: <http://xmlns.com/foaf/0.1/> .
@prefix hydra: <http://www.w3.org/ns/hydra/core#> .
"""


def dataset(number: int, title: str = "") -> str:
    """A dataset in Turtle."""
    return (
        f'<https://portal.example/dataset/{number}> a dcat:Dataset ; dct:title "{title or f"Dataset {number}"}"@en ; '
        f'dct:description "What is in {number}"@en ; dct:publisher [ a foaf:Agent ; foaf:name "Office" ] .\n'
    )


class Catalogue:
    """What the server answers: pages by path; ``asked`` are the requests that came, with the status of each answer."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, str]] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        self.url = ""

    def say(self, *numbers: int, path: str = "/catalogue.ttl", more: str = "", **titles: str) -> None:
        """Have a page with these datasets, and further statements."""
        text = "".join(dataset(number, titles.get(f"d{number}", "")) for number in numbers)
        self.pages[path] = ("text/turtle", f"{PREFIXES}{text}{more}")

    def following(self, path: str, *, total: int | None = None) -> str:
        """The statement that another page follows, and how many datasets there are in all."""
        stated = "" if total is None else f" ; hydra:totalItems {total}"
        return f"<{self.url}/this> a hydra:PagedCollection ; hydra:next <{self.url}{path}>{stated} .\n"


@contextmanager
def served(tls: ssl.SSLContext | None = None) -> Iterator[Catalogue]:
    """Serve a catalogue on loopback while the block runs; with ``tls``, by https."""
    catalogue = Catalogue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path
            if path in catalogue.redirects:
                self._answer(302, {"Location": catalogue.redirects[path]}, b"")
            elif path not in catalogue.pages:
                self._answer(404, {}, b"")
            else:
                kind, text = catalogue.pages[path]
                etag = f'"{hashlib.sha256(text.encode()).hexdigest()}"'
                known = self.headers.get("If-None-Match") == etag
                self._answer(
                    304 if known else 200, {"Content-Type": kind, "ETag": etag}, b"" if known else text.encode()
                )

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            catalogue.asked.append((self.path, status))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    catalogue.url = f"http://127.0.0.1:{server.server_port}"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        catalogue.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield catalogue
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
