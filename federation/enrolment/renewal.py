"""The member's side of renewal: a new key, certified on the strength of the present certificate."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from datalab.errors import IdentityError, RefusedError
from federation.pb import enrolment_pb2 as pb
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR, RENEW

if TYPE_CHECKING:
    from collections.abc import Callable

    from federation.pki.identity import Holder

TIMEOUT = 20.0
LONGEST_RETRY = 60.0


def seconds_until_renewal(holder: Holder, *, just_renewed: bool) -> float:
    """Return for how long to wait before a certificate is renewed, spread a little over those of many members.

    By a clock that is days ahead, a new certificate is due at once: one that has just been renewed is let be for as
    long as keeps its holder below what the gateway allows (``federation.pki.registry.MAX_CERTIFICATES``).
    """
    due = max(0.0, holder.renewal_due.timestamp() - time.time()) * random.uniform(0.95, 1.0)  # noqa: S311
    least = (holder.expires - holder.not_before).total_seconds() / 80 if just_renewed else 0.0
    return max(due, least)


def seconds_until_retry(holder: Holder) -> float:
    """Return for how long to wait after a failed renewal; there is a third of the certificate's life for them."""
    return min(LONGEST_RETRY, max(1.0, (holder.expires.timestamp() - time.time()) / 10))


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
