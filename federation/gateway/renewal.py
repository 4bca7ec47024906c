"""The gateway's side of renewal: a member shows its present certificate and gets one for a new key."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import structlog

from federation.enrolment.server import GATEWAY_FAULT, REFUSALS, refusal_code
from federation.gateway.guard import Guard
from federation.gateway.identity import GatewayIdentity
from federation.pb import enrolment_pb2 as pb
from federation.pki.identity import Holder, holder_from_pem
from federation.pki.registry import Registry
from federation.wire.protocol import RENEW, check_version

log = structlog.get_logger()


class Renewal:
    """Issues a certificate for the identity of the present one, whatever the request asks for.

    Args:
        gateway: its authority issues.
        registry: enters the certificate.
        guard: says who asks.
        lifetime: of the certificates.
    """

    def __init__(self, gateway: GatewayIdentity, registry: Registry, guard: Guard, lifetime: timedelta) -> None:
        self._gateway = gateway
        self._registry = registry
        self._guard = guard
        self._lifetime = lifetime

    async def renew(self, request: pb.RenewRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.RenewResponse:
        """Answer ``RenewalService.Renew``."""
        holder = await self._guard.admit(context, RENEW)
        try:
            check_version(request.protocol_major, request.protocol_minor)
            return await asyncio.to_thread(self._issue, request, holder)
        except tuple(REFUSALS) as error:
            log.warning("renewal refused", member=str(holder.identity), reason=str(error))
            await context.abort(refusal_code(error), str(error))
        except Exception:  # gRPC would show its text to the peer
            log.exception("renewal failed", member=str(holder.identity))
            await context.abort(grpc.StatusCode.INTERNAL, GATEWAY_FAULT)

    def _issue(self, request: pb.RenewRequest, holder: Holder) -> pb.RenewResponse:
        authority = self._gateway.authority
        chain = authority.issue(request.certificate_request_pem, holder.identity, lifetime=self._lifetime)
        self._registry.record_renewal(holder, holder_from_pem(chain), issued=authority.as_of)
        return pb.RenewResponse(certificate_chain_pem=chain, trust_bundle_pem=authority.trust_bundle_pem)
