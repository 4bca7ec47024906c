"""Figures of one process for Prometheus: a page ``/metrics`` that only this machine reaches, where a port is named.

Figures name no person, no dataset and no run; their labels have few values.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import structlog

from datalab.service import check_port

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

HOST = "127.0.0.1"
SECONDS = 10.0
"""How long whoever asks may take to do so."""
log = structlog.get_logger()


@contextmanager
def serving(service: str, registry: CollectorRegistry, port: int | None) -> Iterator[dict[str, str]]:
    """Serve a process's figures while the block runs; yields what it is to announce of that: nothing without a port.

    Args:
        service: whose they are.
        registry: its figures.
        port: on loopback; 0 is any free one, None serves nothing.

    Raises:
        PortTakenError: another process listens there.
    """
    if port is None:
        yield {}
        return
    check_port(f"page of the {service}'s figures", HOST, port, setting="[metrics]")
    with _Server((HOST, port), _Handler) as server:
        server.registry = registry
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield {"metrics": f"http://{HOST}:{server.server_port}/metrics"}
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    registry: CollectorRegistry


class _Handler(BaseHTTPRequestHandler):
    """Answers ``GET /metrics`` that is asked of this machine by its own name: a web page cannot read it by another."""

    server: _Server
    timeout = SECONDS

    def do_GET(self) -> None:
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

        if self.path != "/metrics" or self.headers.get("Host", "").partition(":")[0] not in {HOST, "localhost"}:
            self.send_error(404)
            return
        try:
            body = generate_latest(self.server.registry)
        except Exception as error:
            log.error("the figures cannot be told", exc_info=error)
            self.send_error(500)
            return
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
        """Say nothing: it is asked every few seconds."""
