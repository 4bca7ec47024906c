"""A lab's home with a federation, and its enrolment service over real TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from datalab.home import Home
from federation.enrolment.server import enrolment_handler
from federation.pki.local import create_federation, issue_gateway_certificate, open_authority, open_registry
from tests.support.serving import serving

GATEWAY = "127.0.0.1:8443"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Home]:
    """The home of a lab whose gateway takes enrolments."""
    home = Home(tmp_path / "lab")
    create_federation(home)
    credentials = issue_gateway_certificate(home)

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        handler = enrolment_handler(lambda: open_authority(home), open_registry(home), gateway=GATEWAY)
        server.add_generic_rpc_handlers((handler,))
        tls = grpc.ssl_server_credentials([(credentials.key_pem, credentials.chain_pem)])
        port = server.add_secure_port("127.0.0.1:0", tls)
        await server.start()
        return server, port

    with serving(start) as port:
        home.announce("gateway", host="127.0.0.1", port=8443, enrolment_port=port)
        yield home
