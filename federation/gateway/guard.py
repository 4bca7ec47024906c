"""Who may call what: the certificate that TLS has verified, its role, and the register."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from datalab.errors import IdentityError
from federation.pki.identity import Holder, Role, holder_from_pem
from federation.pki.registry import Registry
from federation.wire.protocol import LIST_SESSIONS, NODE_CONNECT, RENEW, RUN_CONDUCT

ROLES: dict[str, frozenset[Role]] = {
    NODE_CONNECT: frozenset({Role.NODE}),
    RUN_CONDUCT: frozenset({Role.RUNNER}),
    RENEW: frozenset({Role.NODE, Role.RUNNER, Role.LAB}),
    LIST_SESSIONS: frozenset({Role.LAB}),
}
"""Every method of the listener for members, and the roles that may call it."""


class Guard:
    """Says who a peer is, and whether it may call a method.

    Args:
        registry: of the federation's members.
        federation: whose members are let in.
    """

    def __init__(self, registry: Registry, federation: str) -> None:
        self._registry = registry
        self._federation = federation

    async def admit(self, context: grpc.aio.ServicerContext[Any, Any], method: str) -> Holder:
        """Return who the peer is, or end the call: another role, another federation, not or no longer a member."""
        (pem,) = context.auth_context()["x509_pem_cert"]
        try:
            holder = holder_from_pem(pem)
        except IdentityError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        identity = holder.identity
        if identity.federation != self._federation or identity.role not in ROLES[method]:
            roles = " or a ".join(sorted(ROLES[method]))
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"This method is for a {roles} of {self._federation}, not {identity}.",
            )
        try:
            self._registry.check_admitted(holder)
        except IdentityError as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        return holder
