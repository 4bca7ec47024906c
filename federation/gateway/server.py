"""``python -m federation.gateway.server``: the gateway process, with its two listeners.

One demands a client certificate (mutual TLS) and carries all streams; the other has a server certificate only and
answers enrolment.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import structlog

from datalab.audit.log import AuditLog
from datalab.errors import IdentityError, NotFoundError
from datalab.home import Home
from datalab.service import check_port, run_service
from datalab.settings import load_settings
from federation.enrolment.server import enrolment_handler
from federation.errors import VersionError, WireError
from federation.gateway.announce import announcer
from federation.gateway.hub import Hub
from federation.pb import federation_pb2 as pb
from federation.pki.authority import Authority
from federation.pki.identity import Holder, Role, holder_from_pem
from federation.pki.local import create_federation, issue_gateway_certificate, open_authority, open_registry
from federation.pki.registry import Registry
from federation.wire.protocol import CHANNEL_OPTIONS, NODE_CONNECT, RUN_CONDUCT

log = structlog.get_logger()

REVOCATION_POLL = 0.25
"""Seconds between two looks at the registry, which the operator's commands change on disk."""


class Guard:
    """Says who a peer is, from the certificate that TLS has verified, and whether its role may call a method."""

    def __init__(self, registry: Registry, federation: str) -> None:
        self._registry = registry
        self._federation = federation

    async def admit(self, context: grpc.aio.ServicerContext[Any, Any], role: Role) -> Holder:
        """Return who the peer is, or end the call: another role, another federation, not or no longer a member."""
        (pem,) = context.auth_context()["x509_pem_cert"]
        try:
            holder = holder_from_pem(pem)
        except IdentityError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        identity = holder.identity
        if identity.federation != self._federation or identity.role != role:
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"This method is for a {role} of {self._federation}, not {identity}.",
            )
        try:
            self._registry.check_admitted(holder)
        except IdentityError as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        return holder


def main(home: Home) -> None:
    """Run the gateway until SIGTERM.

    Raises:
        DatalabError: a port is taken, or there is no certificate authority in ``home``.
    """
    asyncio.run(_serve(home))


async def _serve(home: Home) -> None:
    settings = load_settings(home)
    ports = settings.ports
    check_port("gateway", settings.bind, ports.gateway)
    check_port("enrolment", settings.bind, ports.enrolment)
    authority, registry = _authority(home), open_registry(home)
    credentials = issue_gateway_certificate(home)
    audit = AuditLog(home.folder("gateway") / "audit.jsonl")
    hub = Hub(home.folder("gateway", "buffers"), announcer(home), audit.append)
    guard = Guard(registry, settings.federation)

    pair = [(credentials.key_pem, credentials.chain_pem)]
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    server.add_generic_rpc_handlers((_Streams(hub, guard),))
    mutual = grpc.ssl_server_credentials(pair, credentials.trust_pem, require_client_auth=True)
    port = server.add_secure_port(f"{settings.bind}:{ports.gateway}", mutual)

    enrolment = grpc.aio.server()
    enrolment_port = enrolment.add_secure_port(f"{settings.bind}:{ports.enrolment}", grpc.ssl_server_credentials(pair))
    address = f"{settings.bind}:{port}"
    enrolment.add_generic_rpc_handlers((enrolment_handler(authority, registry, gateway=address),))
    await server.start()
    await enrolment.start()
    home.announce("gateway", host=settings.bind, port=port, enrolment_port=enrolment_port)
    log.info("ready", port=port, enrolment_port=enrolment_port)

    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    watcher = asyncio.create_task(_cut_revoked(hub, registry))
    await asyncio.wait({watcher, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
    home.withdraw("gateway")
    if watcher.done():
        watcher.result()
    watcher.cancel()
    await asyncio.gather(server.stop(1.0), enrolment.stop(1.0))


def _authority(home: Home) -> Authority:
    """Open the federation's authority; on a lab's very first start, make it."""
    try:
        return open_authority(home)
    except NotFoundError:
        log.info("making a certificate authority; keep its root folder apart from this machine", home=str(home.path))
        return create_federation(home)


async def _cut_revoked(hub: Hub, registry: Registry) -> None:
    """End the streams of whoever has been revoked, as soon as that is seen."""
    while True:
        await asyncio.sleep(REVOCATION_POLL)
        for session in hub.sessions():
            try:
                registry.check_admitted(session.holder)
            except IdentityError as error:
                session.cut(error)
            except Exception as error:
                log.error("the register cannot be read", member=str(session.identity), exc_info=error)
                session.cut(IdentityError("The gateway cannot read its register of members."))


class _Streams(grpc.GenericRpcHandler):
    """Routes the two streaming methods; each admits one role only."""

    def __init__(self, hub: Hub, guard: Guard) -> None:
        self._hub = hub
        self._guard = guard

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler of a method, or None for one that does not exist."""
        match handler_call_details.method:
            case path if path == NODE_CONNECT:
                return grpc.stream_stream_rpc_method_handler(
                    self._connect, pb.ConnectRequest.FromString, pb.ConnectResponse.SerializeToString
                )
            case path if path == RUN_CONDUCT:
                return grpc.stream_stream_rpc_method_handler(
                    self._conduct, pb.ConductRequest.FromString, pb.ConductResponse.SerializeToString
                )
        return None

    async def _connect(
        self, requests: AsyncIterator[pb.ConnectRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        holder = await self._guard.admit(context, Role.NODE)
        try:
            await self._hub.connect(holder, requests, context)
        except VersionError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except (WireError, StopAsyncIteration) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error) or "The stream had no first frame.")

    async def _conduct(
        self, requests: AsyncIterator[pb.ConductRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        holder = await self._guard.admit(context, Role.RUNNER)
        try:
            await self._hub.conduct(holder, requests, context)
        except (WireError, StopAsyncIteration) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error) or "The stream had no first frame.")


if __name__ == "__main__":
    run_service(main)
