"""The agent: one light process that connects outwards to the gateway and carries out what the node's policy allows."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio

from datalab import __version__
from datalab.audit.log import AuditLog
from datalab.errors import DatalabError, IdentityError, RefusedError
from datalab.home import Home
from datalab.lean import structlog
from datalab.service import give_memory_back, run_service
from federation.enrolment.client import enrol, gateway_address
from federation.enrolment.renewal import renew, seconds_until_renewal, seconds_until_retry
from federation.errors import VersionError, WireError
from federation.node.config import NodeConfig, load_config, load_proxy
from federation.node.connection import Stream
from federation.node.control import RENEW_SIGNAL, check_may_start
from federation.node.diagnosis import Cause, diagnose
from federation.node.facts import Keys
from federation.node.holdings import hold_datasets, leave_out_again
from federation.node.ledger import Ledger
from federation.node.runs import Runs
from federation.node.status import StatusFile
from federation.node.tally import telling
from federation.node.trust import GatewayTrust, UntrustedError
from federation.pb import federation_pb2 as pb
from federation.pki.keys import ClockError, Credentials
from federation.sandbox.bubblewrap import confinement
from federation.wire.channel import mutual_tls_channel
from federation.wire.protocol import MAX_FETCHES, PROTOCOL_MAJOR, PROTOCOL_MINOR, check_offset
from federation.wire.pulse import Patience, SilentError

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
LEFT_OUT_SECONDS = 60.0
STOP_SECONDS = 30.0
"""How long tasks under way may still take once the agent has been told to stop."""
_FINAL = {
    grpc.StatusCode.PERMISSION_DENIED: "The gateway refuses this node",
    grpc.StatusCode.FAILED_PRECONDITION: "The gateway does not understand this node",
    grpc.StatusCode.UNAUTHENTICATED: "The gateway does not accept this node's certificate",
}
"""Answers that trying again does not change."""


def main(home: Home) -> None:
    """Run the agent until SIGTERM.

    Raises:
        DatalabError: the configuration, a dataset or the identity is not usable, the gateway refuses this node, or the
            node was stopped with its kill switch.
    """
    check_may_start(home)
    status = StatusFile(home)
    try:
        status.update()
        config = load_config(home.path)
        _enrol_once(home, config)
        asyncio.run(_Agent(home, config, status).run())
    except DatalabError as error:
        status.update(state="ended", reason=str(error))
        raise
    except SystemExit:
        status.update(state="ended", reason="The agent was told to stop.")
        raise
    status.update(state="ended", reason="The agent was told to stop.")


def _enrol_once(home: Home, config: NodeConfig) -> None:
    """Enrol with the token laid into the home, unless that was done before; the token is spent and removed."""
    token = home.path / "token"
    if token.exists():
        folder = home.folder("identity")
        try:
            proxy = load_proxy(home.path, config.gateway)
            identity = enrol(token.read_text(encoding="ascii"), folder, waiting=_say_waiting, proxy=proxy)
            log.info("enrolled", identity=str(identity))
        except IdentityError as error:
            if not Credentials.exist(folder):
                raise
            # A stop between enrolling and removing the token, for one.
            log.warning("the token is of no use; going on with the identity that is here", error=str(error))
        token.unlink()


def _say_waiting(key_sha256: str) -> None:
    log.info("waiting until the federation's operator has approved this node's key", key_sha256=key_sha256)


class _Agent:
    def __init__(self, home: Home, config: NodeConfig, status: StatusFile) -> None:
        self._home = home
        self._status = status
        self._folder = home.path / "identity"
        self._credentials = Credentials.load(self._folder)
        self._gateway = gateway_address(self._folder)
        self._proxy = load_proxy(home.path, config.gateway)
        self._keepalive = config.gateway.keepalive_seconds
        self._patience = Patience()
        self._trust = GatewayTrust(self._folder)
        self._trust.load(self._credentials)
        self._held = hold_datasets(home, config)
        self._runs = Runs(
            self._credentials.holder.identity.name,
            home,
            config,
            self._held,
            Keys.load(home.path, config.policy),
            AuditLog(home.path / "audit.jsonl"),
            Ledger(home.path),
            self._trust,
            lambda: self._credentials,
        )
        self._sandbox = config.policy.sandbox
        self._told: dict[str, str] = {}
        self._stream: Stream | None = None
        self._reading: asyncio.Task[None] | None = None
        self._config = config
        self._leaving_out = asyncio.Lock()
        self._replacing = asyncio.Lock()
        self._renew_now = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Stay connected until told to stop; what can pass by itself is tried again, what cannot ends the agent."""
        with telling(self._runs.tally, self._status, self._config.metrics.port) as self._told:
            await self._work()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        loop.add_signal_handler(RENEW_SIGNAL, self._renew_now.set)
        staying = asyncio.create_task(self._stay_connected())
        renewing = asyncio.create_task(self._keep_renewed())
        told = asyncio.create_task(stopping.wait())
        confining = asyncio.create_task(self._say_confinement())
        leaving_out = asyncio.create_task(self._keep_left_out())
        await asyncio.wait({staying, renewing, told}, return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            self._status.update(state="stopping")
            self._runs.stop()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        for task in (staying, renewing, told, confining, leaving_out):
            task.cancel()
        await self._runs.close()
        for task in (staying, renewing):
            if task.done() and not task.cancelled():
                task.result()

    async def _say_confinement(self) -> None:
        """Write into the status how foreign code is confined here, or why it is refused."""
        try:
            said = await asyncio.to_thread(confinement, self._sandbox)
        except DatalabError as error:
            log.warning("no app can run here", reason=str(error))
            said = str(error)
        self._status.update(sandbox=said)

    async def _stay_connected(self) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                self._take(await self._open(self._credentials, continues=False))
                self._patience.back()
                give_memory_back()
                wait = FIRST_WAIT
                await self._read_to_the_end()
                log.info("gateway closed the stream")
                reason = "The gateway closed the stream."
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL:
                    raise IdentityError(f"{_FINAL[error.code()]}: {error.details()}") from error
                reason = await self._explain(error)
            except VersionError:
                raise
            except (WireError, UntrustedError, SilentError) as error:  # another gateway may stand there next time
                reason = str(error)
                log.warning("not connected", reason=reason)
            except Exception as error:
                reason = f"The connection failed ({type(error).__name__}); the agent's log has the trace."
                log.error("the connection failed", exc_info=error)
            finally:
                await self._leave()
            self._status.update(state="connecting", reason=reason, runs=self._runs.names())
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _explain(self, error: grpc.aio.AioRpcError) -> str:
        """Say why the gateway cannot be reached.

        Raises:
            IdentityError: this node's certificate has expired, so trying again is of no use.
        """
        found = await asyncio.to_thread(diagnose, self._gateway, self._credentials, self._proxy)
        if found.cause is Cause.EXPIRED:
            raise IdentityError(found.what, next_step=found.remedy) from error
        log.warning("not connected", reason=str(found), code=error.code().name, details=error.details())
        return str(found)

    async def _open(self, credentials: Credentials, *, continues: bool) -> Stream:
        """Connect, and check that it is the gateway.

        Raises:
            UntrustedError: it is not, or is revoked.
            VersionError: it speaks another protocol.
        """
        nonce = self._trust.nonce()
        hello = pb.NodeHello(
            protocol_major=PROTOCOL_MAJOR,
            protocol_minor=PROTOCOL_MINOR,
            software=__version__,
            datasets=self._runs.announcements(),
            nonce=nonce,
            continues=continues,
            beats=True,
        )
        channel = mutual_tls_channel(self._gateway, credentials, self._proxy, keepalive=self._keepalive)
        stream, welcome = await Stream.open(channel, credentials, hello)
        try:
            self._trust.check_welcome(welcome, nonce, credentials)
            await self._runs.end_revoked(self._trust.revoked)
            if not continues:
                await self._runs.keep_only(welcome.open_runs)
        except BaseException:
            await stream.close()
            raise
        self._runs.note_connection(credentials)
        self._home.announce("node", node=welcome.node, **self._told)
        log.info("connected", node=welcome.node, gateway=self._trust.gateway)
        return stream

    def _take(self, stream: Stream) -> None:
        """Send on ``stream`` from now on, and read it."""
        self._stream = stream
        self._reading = asyncio.create_task(self._read(stream))
        made = self._trust.revocations.made.timestamp() if self._trust.revocations else None
        self._status.update(
            state="connected",
            reason="",
            node=str(stream.credentials.holder.identity),
            gateway=self._gateway,
            **self._certificate(),
            clock_skew=self._trust.skew.total_seconds(),
            revocations_made=made,
            runs=self._runs.names(),
        )

    async def _read_to_the_end(self) -> None:
        """Wait until the stream ends that is in use; one that has been replaced ends by itself."""
        reading = None
        while reading is not self._reading:
            reading = self._reading
            assert reading is not None
            await asyncio.wait({reading})
        assert reading is not None
        reading.result()

    async def _leave(self) -> None:
        self._home.withdraw("node")
        self._runs.cut()
        stream, reading, self._stream, self._reading = self._stream, self._reading, None, None
        if reading is not None:
            reading.cancel()
        if stream is not None:
            await stream.close()

    async def _read(self, stream: Stream) -> None:
        try:
            await stream.read(self._patience, self._handle)
        finally:
            if stream is not self._stream:
                await stream.close()

    async def _keep_renewed(self) -> None:
        """Renew the certificate when it is due, or at once when asked, and go over to it without a gap."""
        wait = seconds_until_renewal(self._credentials.holder, just_renewed=False)
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._renew_now.wait(), wait)
            self._renew_now.clear()
            try:
                await self._renew()
                wait = seconds_until_renewal(self._credentials.holder, just_renewed=True)
                continue
            except (grpc.aio.AioRpcError, WireError, UntrustedError, RefusedError, ClockError) as error:
                why = error.details() or "" if isinstance(error, grpc.aio.AioRpcError) else str(error)
                log.warning("the certificate could not be renewed; trying again", error=why)
            except IdentityError:
                raise
            except Exception as error:
                why = f"{type(error).__name__}; the agent's log has the trace."
                log.error("the certificate could not be renewed; trying again", exc_info=error)
            self._status.update(renewal_failure=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f} UTC: {why}")
            wait = seconds_until_retry(self._credentials.holder)

    async def _renew(self) -> None:
        async with self._replacing:
            renewed = await renew(
                self._credentials, lambda present: mutual_tls_channel(self._gateway, present, self._proxy)
            )
            former = self._stream
            if former is not None:  # make before break
                self._take(await self._open(renewed, continues=True))
            renewed.store(self._folder)
            self._credentials = renewed
            self._status.update(**self._certificate(), renewal_failure="")
            if former is not None:
                await former.finish()
        log.info("certificate renewed", expires=renewed.holder.expires.isoformat(timespec="seconds"))

    async def _keep_left_out(self) -> None:
        """Have the lists of whom to leave out hold within a minute, also where no run is offered."""
        while True:
            await asyncio.sleep(LEFT_OUT_SECONDS)
            try:
                await self._leave_out()
            except DatalabError as error:  # a new run is refused as long as it lasts
                log.warning("nobody knows whom to leave out", error=str(error))

    async def _leave_out(self) -> None:
        """Take out of the data whoever has to be; the lab is told that the data is another then."""
        async with self._leaving_out:
            if await asyncio.to_thread(leave_out_again, self._home, self._config, self._held):
                self._start(self._announce_again())

    async def _announce_again(self) -> None:
        async with self._replacing:
            if (former := self._stream) is not None:  # otherwise it is announced with the next connection
                self._take(await self._open(self._credentials, continues=True))
                await former.finish()

    def _certificate(self) -> dict[str, Any]:
        """Return what the status says of the certificate that is kept."""
        holder = self._credentials.holder
        return {
            "serial": holder.serial,
            "certificate_expires": holder.expires.timestamp(),
            "renewal_due": holder.renewal_due.timestamp(),
        }

    async def _send(self, frame: pb.ConnectRequest | Callable[[], bytes]) -> None:
        if self._stream is None:
            raise WireError("This node is not connected.")
        await self._stream.send(frame)

    async def _handle(self, frame: pb.ConnectResponse) -> None:
        match getattr(frame, frame.WhichOneof("frame") or "", None):
            case pb.Task() as task:
                self._start(self._runs.carry_out(task, self._send))
            case pb.Offer() as offer:
                self._start(self._runs.consider(offer, self._send, self._leave_out))
            case pb.Fetch() as fetch:
                self._answer(fetch)
            case pb.Chunk() as chunk:
                check_offset(chunk.offset)
                if (run := self._runs.get(chunk.run_id)) is not None:
                    run.inbox.accept(chunk)
            case pb.RunEnd() as end:
                self._start(self._runs.end(end, self._send))
            case pb.RevocationList() as revocations:
                self._trust.take_list(revocations, self._credentials)
                await self._runs.end_revoked(self._trust.revoked)
            case pb.PermitRevocations() as permits:
                await self._runs.take_permit_list(permits.token)
            case pb.RunnerRenewed() | pb.ReplyRefused() as news:
                self._runs.note(news)

    def _answer(self, fetch: pb.Fetch) -> None:
        """Send a piece when its turn comes; what else the gateway says is read meanwhile."""
        check_offset(fetch.offset)
        if len(self._tasks) >= MAX_FETCHES:
            raise WireError(f"More than {MAX_FETCHES} of the gateway's frames wait for an answer.")
        if (run := self._runs.get(fetch.run_id)) is not None:
            self._start(self._send(functools.partial(run.serve, fetch)))

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
