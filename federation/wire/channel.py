"""The outward connection of a node or a runner: mutual TLS to the gateway, through a proxy where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import grpc
import grpc.aio

from federation.wire.protocol import CHANNEL_OPTIONS, KEEPALIVE_SECONDS

if TYPE_CHECKING:
    from federation.pki.keys import Credentials


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that is asked to CONNECT to the gateway.

    Attributes:
        host: of the proxy.
        port: of the proxy.
        credentials: "user:password" for Basic authentication, empty where it asks for none.
    """

    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """The proxy as gRPC wants it, with the credentials in it: never to be logged."""
        user, _, password = self.credentials.partition(":")
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if self.credentials else ""
        return f"http://{login}{self.host}:{self.port}"


def mutual_tls_channel(
    address: str, credentials: Credentials, proxy: Proxy | None = None, *, keepalive: float = KEEPALIVE_SECONDS
) -> grpc.aio.Channel:
    """Return a channel to ``address`` ("host:port") that shows ``credentials`` and trusts their authority alone.

    Args:
        address: of the gateway.
        credentials: of this member.
        proxy: to go out through.
        keepalive: seconds of silence after which the connection is probed.
    """
    tls = grpc.ssl_channel_credentials(credentials.trust_pem, credentials.key_pem, credentials.chain_pem)
    probing = (("grpc.keepalive_time_ms", round(keepalive * 1000)),)
    return grpc.aio.secure_channel(address, tls, options=(*CHANNEL_OPTIONS, *probing, *proxy_options(proxy)))


def proxy_options(proxy: Proxy | None) -> tuple[tuple[str, str | int], ...]:
    """Return gRPC's options for ``proxy``; without one, the environment's proxy variables do not count either."""
    return (("grpc.enable_http_proxy", 0),) if proxy is None else (("grpc.http_proxy", proxy.address),)
