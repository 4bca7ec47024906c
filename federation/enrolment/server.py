"""The gateway's side of enrolment: a token's secret and a signing request in, a certificate out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import structlog

from datalab.errors import BadInputError, DatalabError, IdentityError, RefusedError
from federation.enrolment.limit import FailureLimit
from federation.errors import WireError
from federation.pb import enrolment_pb2 as pb
from federation.pki.authority import MEMBER_LIFETIME, Authority
from federation.pki.certificates import requested_key
from federation.pki.identity import Identity, holder_from_pem, public_key_sha256
from federation.pki.registry import Registry
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR, check_version

SERVICE = pb.DESCRIPTOR.services_by_name["EnrolmentService"].full_name

log = structlog.get_logger()

GATEWAY_FAULT = "The gateway has a fault. Ask its operator to look into its log."
RETRY_SECONDS = 2
"""How long whoever waits for approval is asked to wait before asking again."""

REFUSALS: dict[type[DatalabError], grpc.StatusCode] = {
    IdentityError: grpc.StatusCode.PERMISSION_DENIED,
    BadInputError: grpc.StatusCode.INVALID_ARGUMENT,
    WireError: grpc.StatusCode.FAILED_PRECONDITION,
    RefusedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""What a peer is told the reason of; anything else is the lab's own trouble and stays in its log."""


def refusal_code(error: DatalabError) -> grpc.StatusCode:
    """Return the status of one of ``REFUSALS``."""
    return next(code for kind, code in REFUSALS.items() if isinstance(error, kind))


def enrolment_handler(
    authority: Callable[[], Authority], registry: Registry, *, gateway: str, lifetime: timedelta = MEMBER_LIFETIME
) -> grpc.GenericRpcHandler:
    """Return the handler of the enrolment service for a ``grpc.aio`` server with server TLS only.

    Args:
        authority: returns what issues the certificates now.
        registry: knows the invitations, and enters the certificates.
        gateway: where members connect afterwards, "host:port".
        lifetime: of the certificates.
    """
    enrolment = _Enrolment(authority, registry, gateway, lifetime)
    method: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        enrolment.enrol,
        request_deserializer=pb.EnrolRequest.FromString,
        response_serializer=pb.EnrolResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, {"Enrol": method})


class _Enrolment:
    def __init__(
        self, authority: Callable[[], Authority], registry: Registry, gateway: str, lifetime: timedelta
    ) -> None:
        self._authority = authority
        self._registry = registry
        self._gateway = gateway
        self._lifetime = lifetime
        self._limit = FailureLimit()

    async def enrol(self, request: pb.EnrolRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.EnrolResponse:
        host = context.peer().rpartition(":")[0]
        if not self._limit.allows(host, time.monotonic()):
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many failed attempts from here. Try again in a minute."
            )
        try:
            return await asyncio.to_thread(self._issue_or_record, request, host)
        except tuple(REFUSALS) as error:
            self._limit.failed(host, time.monotonic())
            await context.abort(refusal_code(error), " ".join(filter(None, (error.what, error.next_step))))
        except Exception:  # gRPC would show its text to the peer
            log.exception("enrolment failed")
            await context.abort(grpc.StatusCode.INTERNAL, GATEWAY_FAULT)

    def _issue_or_record(self, request: pb.EnrolRequest, host: str) -> pb.EnrolResponse:
        try:
            return self._issue(request)
        except tuple(REFUSALS) as error:
            self._registry.audit.append("enrolment.refused", peer=host, reason=error.what)
            raise

    def _issue(self, request: pb.EnrolRequest) -> pb.EnrolResponse:
        check_version(request.protocol_major, request.protocol_minor)
        key = requested_key(request.certificate_request_pem)  # a bad request must not cost its sender the token
        invite = self._registry.claim(request.secret, public_key_sha256(key))
        if invite is None:
            return pb.EnrolResponse(
                protocol_major=PROTOCOL_MAJOR, protocol_minor=PROTOCOL_MINOR, retry_after=RETRY_SECONDS
            )
        authority = self._authority()
        identity = Identity(authority.federation, invite.role, invite.name)
        chain = authority.issue(request.certificate_request_pem, identity, lifetime=self._lifetime)
        self._registry.record_certificate(invite, holder_from_pem(chain), issued=authority.as_of)
        return pb.EnrolResponse(
            protocol_major=PROTOCOL_MAJOR,
            protocol_minor=PROTOCOL_MINOR,
            certificate_chain_pem=chain,
            trust_bundle_pem=authority.trust_bundle_pem,
            gateway_address=self._gateway,
        )
