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

    In TLS 1.3 the client's handshake ends before the server has looked for its certificate; the refusal comes with the
    first read. The server's certificate is not verified: no secret is sent, and only its manners are of interest.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    version, mutual = "none", False
    try:
        with (
            socket.create_connection((host, port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            version = tls.version() or "none"
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            while tls.recv(4096):
                pass
    except ssl.SSLError as error:
        mutual = "CERTIFICATE_REQUIRED" in str(error).upper() or "HANDSHAKE_FAILURE" in str(error).upper()
    return Transport(version, mutual)
