"""Looks at the gateway from outside: which TLS it speaks, and whether it turns away those without a certificate."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class Transport:
    """What the gateway's listener showed.

    Attributes:
        tls_version: as negotiated.
        mutual: whether a client without a certificate was turned away.
    """

    tls_version: str
    mutual: bool


def probe(host: str, port: int) -> Transport:
    """Connect without a client certificate, and see what happens.

    In TLS 1.3 the client's handshake ends before the server has looked for its certificate. A server that then speaks
    HTTP/2 (it greets first) does without one; a server that demands one closes without a byte. The server's own
    certificate is not verified: no secret is sent, and only its manners are of interest.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        version = tls.version() or "none"
        try:
            greeted = bool(tls.recv(1))
        except TimeoutError:
            greeted = True  # it waits for us: no certificate is demanded
        except (ssl.SSLError, ConnectionError):
            greeted = False
    return Transport(version, mutual=not greeted)
