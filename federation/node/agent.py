"""The agent: one light process that connects outwards to the gateway and carries out what the node's policy allows."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import grpc
import grpc.aio
import structlog

from datalab import __version__
from datalab.audit.log import AuditLog
from datalab.errors import IdentityError
from datalab.home import Home
from datalab.permits.keys import load_public_key
from datalab.service import run_service
from federation.enrolment.client import enrol, gateway_address
from federation.node.config import load_config
from federation.node.holdings import hold_datasets
from federation.node.runs import Runs, Send, announcement
from federation.pb import federation_pb2 as pb
from federation.pki.keys import CHAIN_FILE, Credentials
from federation.wire.channel import mutual_tls_channel
from federation.wire.protocol import NODE_CONNECT, PROTOCOL_MAJOR, PROTOCOL_MINOR

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = 0.2, 30.0
_FINAL = {
    grpc.StatusCode.PERMISSION_DENIED: "The gateway refuses this node",
    grpc.StatusCode.FAILED_PRECONDITION: "The gateway does not understand this node",
    grpc.StatusCode.UNAUTHENTICATED: "The gateway does not accept this node's certificate",
}
"""Answers that trying again does not change."""


def main(home: Home) -> None:
    """Run the agent until SIGTERM.

    Raises:
        DatalabError: the configuration, a dataset or the identity is not usable, or the gateway refuses this node.
    """
    _enrol_once(home)
    asyncio.run(_Agent(home).run())


def _enrol_once(home: Home) -> None:
    """Enrol with the token laid into the home, unless that was done before; the token is spent and removed."""
    token = home.path / "token"
    if token.exists():
        folder = home.folder("identity")
        try:
            log.info("enrolled", identity=str(enrol(token.read_text(encoding="ascii"), folder)))
        except IdentityError as error:
            if not (folder / CHAIN_FILE).exists():
                raise
            # A stop between enrolling and removing the token, for one.
            log.warning("the token is of no use; going on with the identity that is here", error=str(error))
        token.unlink()


class _Agent:
    def __init__(self, home: Home) -> None:
        self._home = home
        self._config = load_config(home.path)
        self._credentials = Credentials.load(home.path / "identity")
        self._gateway = gateway_address(home.path / "identity")
        self._identity = self._credentials.holder.identity
        self._held = hold_datasets(home, self._config)
        self._runs = Runs(
            self._identity.name,
            home,
            self._config,
            self._held,
            [load_public_key(home.path / key) for key in self._config.policy.permit_keys],
            AuditLog(home.path / "audit.jsonl"),
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Stay connected until told to stop; what can pass by itself is tried again, what cannot ends the agent."""
        stopping = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: stopping.set_result(None))
        staying = asyncio.create_task(self._stay_connected())
        await asyncio.wait({staying, stopping}, return_when=asyncio.FIRST_COMPLETED)
        staying.cancel()
        await self._runs.close()
        if not stopping.done():
            staying.result()

    async def _stay_connected(self) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                async with mutual_tls_channel(self._gateway, self._credentials) as channel:
                    await self._converse(channel)
                wait = FIRST_WAIT
                log.info("gateway closed the stream")
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL:
                    raise IdentityError(f"{_FINAL[error.code()]}: {error.details()}") from error
                log.warning("not connected", code=error.code().name, details=error.details())
            except Exception as error:
                log.error("the connection failed", exc_info=error)
            finally:
                self._home.withdraw("node")
                self._runs.cut()
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _converse(self, channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream(
            NODE_CONNECT,
            request_serializer=pb.ConnectRequest.SerializeToString,
            response_deserializer=pb.ConnectResponse.FromString,
        )()
        writing = asyncio.Lock()

        async def send(frame: pb.ConnectRequest) -> None:
            async with writing:
                await call.write(frame)

        hello = pb.NodeHello(protocol_major=PROTOCOL_MAJOR, protocol_minor=PROTOCOL_MINOR, software=__version__)
        hello.datasets.extend(announcement(dataset) for dataset in self._held)
        await send(pb.ConnectRequest(hello=hello))
        frames: AsyncIterator[pb.ConnectResponse] = aiter(call)
        async for frame in frames:
            await self._handle(frame, send)

    async def _handle(self, frame: pb.ConnectResponse, send: Send) -> None:
        match getattr(frame, frame.WhichOneof("frame") or "", None):
            case pb.Task() as task:
                self._start(self._runs.carry_out(task, send))
            case pb.Offer() as offer:
                self._start(self._runs.consider(offer, send))
            case pb.Fetch() as fetch:
                if (run := self._runs.get(fetch.run_id)) is not None:
                    await send(pb.ConnectRequest(chunk=run.serve(fetch)))
            case pb.Chunk() as chunk:
                if (run := self._runs.get(chunk.run_id)) is not None:
                    run.inbox.accept(chunk)
            case pb.RunEnd() as end:
                self._start(self._runs.end(end))
            case pb.NodeWelcome() as welcome:
                await self._runs.keep_only(welcome.open_runs)
                self._home.announce("node", node=welcome.node)
                log.info("connected", node=welcome.node)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task failed", exc_info=error)


if __name__ == "__main__":
    run_service(main)
