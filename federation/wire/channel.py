"""The outward connection of a node or a runner: mutual TLS to the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import grpc.aio

from federation.wire.protocol import CHANNEL_OPTIONS

if TYPE_CHECKING:
    from federation.pki.keys import Credentials


def mutual_tls_channel(address: str, credentials: Credentials) -> grpc.aio.Channel:
    """Return a channel to ``address`` ("host:port") that shows ``credentials`` and trusts their authority alone."""
    tls = grpc.ssl_channel_credentials(credentials.trust_pem, credentials.key_pem, credentials.chain_pem)
    return grpc.aio.secure_channel(address, tls, options=CHANNEL_OPTIONS)
