"""Who is connected to the gateway, as the gateway itself says to a process of the lab."""

from __future__ import annotations

import grpc

from datalab.errors import NotFoundError
from datalab.home import Home
from federation.pb import federation_pb2 as pb
from federation.pki.local import lab_credentials
from federation.wire.protocol import LIST_SESSIONS

TIMEOUT = 5.0


def sessions(home: Home) -> dict[str, float]:
    """Return the SPIFFE ids of connected nodes and runners, and since when (seconds since 1970).

    Empty where the gateway of this home does not run.
    """
    return {one.identity: one.connected for one in session_infos(home)}


def session_infos(home: Home) -> list[pb.SessionInfo]:
    """Return all that the gateway says of who is connected; nothing where it does not run."""
    try:
        gateway = home.address("gateway")
    except NotFoundError:
        return []
    own = lab_credentials(home)
    tls = grpc.ssl_channel_credentials(own.trust_pem, own.key_pem, own.chain_pem)
    options = (("grpc.enable_http_proxy", 0),)
    with grpc.secure_channel(f"{gateway['host']}:{gateway['port']}", tls, options=options) as channel:
        method = channel.unary_unary(
            LIST_SESSIONS,
            request_serializer=pb.ListSessionsRequest.SerializeToString,
            response_deserializer=pb.ListSessionsResponse.FromString,
        )
        try:
            answer: pb.ListSessionsResponse = method(pb.ListSessionsRequest(), timeout=TIMEOUT)
        except grpc.RpcError:
            # Killed, and its announcement left behind; or it is just stopping.
            return []
    return list(answer.sessions)
