"""``python -m federation.gateway.server``: the gateway process, with its two listeners.

One demands a client certificate (mutual TLS) and carries all streams; the other has a server certificate only and
answers enrolment.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import structlog

from datalab.audit.log import AuditLog
from datalab.errors import IdentityError, NotFoundError
from datalab.home import Home
from datalab.metrics import serving
from datalab.permits.lists import FOLDER, RevocationFiles
from datalab.service import check_port, run_service
from datalab.settings import load_settings
from federation.enrolment.server import enrolment_handler
from federation.errors import VersionError, WireError
from federation.gateway.announce import announcer
from federation.gateway.figures import Figures
from federation.gateway.guard import Guard
from federation.gateway.hub import Hub
from federation.gateway.identity import GatewayIdentity
from federation.gateway.renewal import Renewal
from federation.gateway.watched import Watched
from federation.pb import enrolment_pb2
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder
from federation.pki.local import create_federation, member_lifetime, open_authority, open_registry
from federation.wire.frames import serialize
from federation.wire.protocol import (
    CHANNEL_OPTIONS,
    KEEPALIVE_SECONDS,
    LIST_SESSIONS,
    NODE_CONNECT,
    RENEW,
    RUN_CONDUCT,
    parsed,
)
from federation.wire.pulse import TICK_SECONDS

log = structlog.get_logger()

POLL = TICK_SECONDS
"""Seconds between two looks at what the operator's commands change on disk, and at who is heard."""

COLLECTING = 20_000, 20, 100
"""When the garbage collector looks: frames leave no cycles, and looking through hundreds of sessions takes a tenth of a
second each time."""


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
    _make_authority(home)
    registry = open_registry(home)
    audit = AuditLog(home.folder("gateway") / "audit.jsonl")
    identity = GatewayIdentity(home, audit)
    shutil.rmtree(home.path / "gateway" / "buffers", ignore_errors=True)  # of runs that a crash of this process ended
    hub = Hub(home.folder("gateway", "buffers"), announcer(home), audit.append, identity)
    guard = Guard(registry, settings.federation)
    renewal = Renewal(identity, registry, guard, member_lifetime(home))

    probing = (("grpc.keepalive_time_ms", round(KEEPALIVE_SECONDS * 1000)),)
    server = grpc.aio.server(options=(*CHANNEL_OPTIONS, *probing))
    server.add_generic_rpc_handlers((_Members(hub, guard, renewal, audit),))
    port = server.add_secure_port(f"{settings.bind}:{ports.gateway}", identity.server_credentials())

    enrolment = grpc.aio.server()
    enrolment_port = enrolment.add_secure_port(f"{settings.bind}:{ports.enrolment}", identity.enrolment_credentials())
    handler = enrolment_handler(
        lambda: identity.authority, registry, gateway=f"{settings.bind}:{port}", lifetime=member_lifetime(home)
    )
    enrolment.add_generic_rpc_handlers((handler,))
    gc.set_threshold(*COLLECTING)
    lists = _PermitLists(home)
    hub.tell_permit_revocations(lists.news() or ())
    await server.start()
    await enrolment.start()
    figures = Figures(hub, identity, registry)
    with serving("gateway", figures.registry, settings.metrics.gateway) as told:
        home.announce("gateway", host=settings.bind, port=port, enrolment_port=enrolment_port, **told)
        log.info("ready", port=port, enrolment_port=enrolment_port)

        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        watcher = asyncio.create_task(_watch(hub, identity, lists))
        await asyncio.wait({watcher, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
        home.withdraw("gateway")
    if watcher.done():
        watcher.result()
    watcher.cancel()
    await asyncio.gather(server.stop(1.0), enrolment.stop(1.0))
    hub.close()


def _make_authority(home: Home) -> None:
    """Make the federation's authority on a lab's very first start."""
    try:
        open_authority(home)
    except NotFoundError:
        if open_registry(home).members():  # its authority is lost, and a new one would be a stranger to them
            raise
        log.info("making a certificate authority; keep its root folder apart from this machine", home=str(home.path))
        create_federation(home)


class _PermitLists:
    """The signed lists of revoked permits that the lab server has laid out."""

    def __init__(self, home: Home) -> None:
        self._files = RevocationFiles(home.folder(FOLDER))
        self._folder = Watched(self._files.folder)
        self._tokens: tuple[str, ...] = ()

    def news(self) -> tuple[str, ...] | None:
        """Return the lists if there may be another one since the last time."""
        if not self._folder.changed():
            return None
        before, self._tokens = self._tokens, self._files.tokens()
        return None if before == self._tokens else self._tokens


async def _watch(hub: Hub, identity: GatewayIdentity, lists: _PermitLists) -> None:
    """Keep the gateway's identity current, and end the streams of whoever is revoked or expires."""
    before = time.monotonic()
    while True:
        await asyncio.sleep(POLL)
        now = time.monotonic()
        hub.pass_time(now - before)
        before = now
        try:
            changed = identity.refresh()
        except Exception as error:
            log.error("the register or the authority cannot be read", exc_info=error)
            hub.cut_all(IdentityError("The gateway cannot read its register of members."))
            continue
        if changed:
            hub.tell_revocations()
        if (news := lists.news()) is not None:
            hub.tell_permit_revocations(news)
        hub.cut_ended(datetime.now(UTC))


class _Members(grpc.GenericRpcHandler):
    """Routes the methods of the listener for members; ``federation.gateway.guard.ROLES`` says who may call which."""

    def __init__(self, hub: Hub, guard: Guard, renewal: Renewal, audit: AuditLog) -> None:
        self._hub = hub
        self._audit = audit
        self._guard = guard
        self._renewal = renewal

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler of a method, or None for one that does not exist."""
        match handler_call_details.method:
            case path if path == NODE_CONNECT:
                return grpc.stream_stream_rpc_method_handler(self._connect, response_serializer=serialize)
            case path if path == RUN_CONDUCT:
                return grpc.stream_stream_rpc_method_handler(self._conduct, response_serializer=serialize)
            case path if path == RENEW:
                return grpc.unary_unary_rpc_method_handler(
                    self._renewal.renew,
                    enrolment_pb2.RenewRequest.FromString,
                    enrolment_pb2.RenewResponse.SerializeToString,
                )
            case path if path == LIST_SESSIONS:
                return grpc.unary_unary_rpc_method_handler(
                    self._list_sessions, pb.ListSessionsRequest.FromString, pb.ListSessionsResponse.SerializeToString
                )
        return None

    async def _connect(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        holder = await self._guard.admit(context, NODE_CONNECT)
        try:
            await self._hub.connect(holder, parsed(requests, pb.ConnectRequest), context)
        except (WireError, StopAsyncIteration) as error:
            await self._refuse(holder, error, context)

    async def _conduct(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        holder = await self._guard.admit(context, RUN_CONDUCT)
        try:
            await self._hub.conduct(holder, parsed(requests, pb.ConductRequest), context)
        except (WireError, StopAsyncIteration) as error:
            await self._refuse(holder, error, context)

    async def _refuse(self, holder: Holder, error: Exception, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """End a stream that breaks the protocol: its peer is told why, and it is on record."""
        reason = str(error) or "The stream had no first frame."
        self._audit.append("stream refused", peer=str(holder.identity), reason=reason)
        other_version = isinstance(error, VersionError)
        code = grpc.StatusCode.FAILED_PRECONDITION if other_version else grpc.StatusCode.INVALID_ARGUMENT
        await context.abort(code, reason)

    async def _list_sessions(
        self, request: pb.ListSessionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListSessionsResponse:
        del request
        await self._guard.admit(context, LIST_SESSIONS)
        return self._hub.list_sessions()


if __name__ == "__main__":
    run_service(main)
