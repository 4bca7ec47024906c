"""The member's side of renewal: a new key, certified on the strength of the present certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import grpc.aio

from datalab.errors import IdentityError, RefusedError
from federation.pb import enrolment_pb2 as pb
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR, RENEW

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 20.0
RENEWAL_RETRY = 60.0
"""Seconds between two attempts to renew a certificate; there is a third of its life for them."""


async def renew(present: Credentials, open_channel: Callable[[Credentials], grpc.aio.Channel]) -> Credentials:
    """Return new credentials for the same member; nothing is stored, so that the present ones stay until these work.

    Args:
        present: shown to the gateway.
        open_channel: connects to the gateway's listener for members.

    Raises:
        IdentityError: the gateway refuses, or answers with something that is not for this member.
        ClockError: the new certificate is not valid by this machine's clock.
        RefusedError: not now: this member has got too many certificates of late.
        grpc.aio.AioRpcError: it cannot be reached.
    """
    key = new_key()
    request = pb.RenewRequest(
        protocol_major=PROTOCOL_MAJOR,
        protocol_minor=PROTOCOL_MINOR,
        certificate_request_pem=certificate_request(key),
    )
    async with open_channel(present) as channel:
        method = channel.unary_unary(
            RENEW,
            request_serializer=pb.RenewRequest.SerializeToString,
            response_deserializer=pb.RenewResponse.FromString,
        )
        try:
            answer: pb.RenewResponse = await method(request, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT):
                raise IdentityError(f"The gateway does not renew the certificate: {error.details()}") from error
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise RefusedError(f"The gateway does not renew the certificate now: {error.details()}") from error
            raise
    # Against the roots trusted so far: whoever has a gateway's key, perhaps a revoked one, could name their own roots.
    Credentials(key_pem(key), answer.certificate_chain_pem, present.trust_pem).check(present.holder.identity)
    renewed = Credentials(key_pem(key), answer.certificate_chain_pem, answer.trust_bundle_pem)
    renewed.check(present.holder.identity)
    return renewed
