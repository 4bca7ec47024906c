"""The runner's stream to the gateway, which outlives the certificate that it was opened with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import structlog

from datalab.errors import IdentityError, RefusedError
from federation.enrolment.renewal import renew, seconds_until_renewal, seconds_until_retry
from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.pki.keys import ClockError, Credentials
from federation.wire.channel import mutual_tls_channel
from federation.wire.frames import serialize
from federation.wire.protocol import RUN_CONDUCT
from federation.wire.pulse import Patience, Pulse, while_heard

log = structlog.get_logger()

CONTINUED_SECONDS = 30.0

_Call = grpc.aio.StreamStreamCall[Any, pb.ConductResponse]


@dataclass(frozen=True)
class Endpoint:
    """Where the gateway listens, and who this runner is.

    Attributes:
        address: of the gateway.
        folder: where the credentials lie; renewed ones take their place.
        credentials: as they were when this was made.
    """

    address: str
    folder: Path
    credentials: Credentials

    def current(self) -> Endpoint:
        """Return the same with the credentials that lie there now."""
        return Endpoint(self.address, self.folder, Credentials.load(self.folder))


class RunnerStream:
    """Writes and reads frames, and goes over to a renewed certificate without losing any.

    Two thirds through the life of its certificate it gets a new one, opens a second stream with it, writes there once
    the gateway has said that the run is continued, and reads the first one to its end.

    Args:
        endpoint: the gateway.
        opening: returns the run's first frame, signed with the credentials that it is given.
        patience: with the line.
    """

    def __init__(self, endpoint: Endpoint, opening: Callable[[Credentials], pb.RunOpen], patience: Patience) -> None:
        self._address = endpoint.address
        self._credentials = endpoint.credentials
        self._folder = endpoint.folder
        self._opening = opening
        self._patience = patience
        self._finished = False
        # Held while something is written, and while one stream takes the place of another.
        self._writing = asyncio.Lock()
        self._opened = asyncio.Event()
        self._call: _Call
        self._readers: list[asyncio.Task[None]] = []

    async def converse(self, handle: Callable[[pb.ConductResponse], None]) -> None:
        """Open the run, and hand every frame to ``handle`` until the gateway closes the stream.

        Raises:
            grpc.aio.AioRpcError: the gateway cannot be reached, refuses, or ends the stream for a reason.
            SilentError: nothing is heard of it any more.
        """
        self._handle = handle
        self._use(*await self._connect(self._credentials, continues=False))
        self._opened.set()
        self._renewing = asyncio.create_task(self._keep_renewed())
        try:
            while self._readers:
                ended, _ = await asyncio.wait(self._readers, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    self._readers.remove(task)
                    task.result()
        finally:
            for task in (self._renewing, *self._readers):
                task.cancel()
            await asyncio.gather(self._renewing, *self._readers, return_exceptions=True)

    async def write(self, frame: pb.ConductRequest | bytes) -> None:
        """Send a frame, serialized or not; one at a time, in the order of calls."""
        await self._opened.wait()
        async with self._writing:
            await self._call.write(frame)

    async def finish(self) -> None:
        """Say that nothing more will be sent; what the gateway still has comes yet."""
        await self._opened.wait()
        async with self._writing:
            self._finished = True
            await self._call.done_writing()

    async def _connect(
        self, credentials: Credentials, *, continues: bool
    ) -> tuple[grpc.aio.Channel, _Call, AsyncIterator[pb.ConductResponse]]:
        """Open a stream; one that continues another only counts once the gateway has said so.

        The frame in which it says so may carry more frames, which count like any other: it is returned with the rest.

        Raises:
            WireError: the gateway does not say so in time.
        """
        opening = self._opening(credentials)
        opening.continues, opening.beats = continues, True
        channel = mutual_tls_channel(self._address, credentials)
        try:
            call: _Call = channel.stream_stream(
                RUN_CONDUCT,
                request_serializer=serialize,
                response_deserializer=pb.ConductResponse.FromString,
            )()
            with contextlib.suppress(asyncio.InvalidStateError):  # the call has ended already: reading says why
                await call.write(pb.ConductRequest(open=opening, takes_more=True))
            frames = aiter(call)
            if continues:
                async with asyncio.timeout(CONTINUED_SECONDS):
                    first = await anext(frames, None)
                if first is None or first.WhichOneof("frame") != "continued":
                    raise WireError("The gateway does not continue this run.")
                frames = _with_first(first, frames)
        except BaseException as error:
            await channel.close()
            if isinstance(error, TimeoutError):
                raise WireError("The gateway does not answer.") from error
            raise
        return channel, call, frames

    def _use(self, channel: grpc.aio.Channel, call: _Call, frames: AsyncIterator[pb.ConductResponse]) -> None:
        """Write on a stream from now on, and read it."""
        self._call = call
        self._readers.append(asyncio.create_task(self._read(channel, call, frames)))

    async def _read(self, channel: grpc.aio.Channel, call: _Call, frames: AsyncIterator[pb.ConductResponse]) -> None:
        pulse = Pulse(self._patience)

        async def beat() -> None:
            async with self._writing:
                if call is self._call and not self._finished:  # else this side of it is closed, or soon will be
                    with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # reading says why
                        await call.write(pb.ConductRequest(beat=pb.Beat()))
            pulse.said(beat=True)

        async def read() -> None:
            async for frame in frames:
                pulse.heard(beat=any(one.WhichOneof("frame") == "beat" for one in (frame, *frame.more)))
                self._handle(frame)

        async with channel:
            await while_heard(pulse, beat, read())

    async def _keep_renewed(self) -> None:
        """Renew the certificate when it is due; without a new one, the stream ends with the old one."""
        wait = seconds_until_renewal(self._credentials.holder, just_renewed=False)
        while True:
            await asyncio.sleep(wait)
            try:
                await self._renew()
                wait = seconds_until_renewal(self._credentials.holder, just_renewed=True)
                continue
            except (grpc.aio.AioRpcError, WireError, RefusedError, ClockError) as error:
                log.warning("the certificate could not be renewed; trying again", error=str(error))
            except IdentityError as error:
                log.error("the certificate cannot be renewed", error=str(error))
                return
            wait = seconds_until_retry(self._credentials.holder)

    async def _renew(self) -> None:
        renewed = await renew(self._credentials, lambda present: mutual_tls_channel(self._address, present))
        async with self._writing:
            if self._finished:
                return
            former = self._call
            self._use(*await self._connect(renewed, continues=True))
            renewed.store(self._folder)
            self._credentials = renewed
            with contextlib.suppress(asyncio.InvalidStateError):  # it has ended by itself
                await former.done_writing()
        log.info("certificate renewed", expires=renewed.holder.expires.isoformat(timespec="seconds"))


async def _with_first(
    first: pb.ConductResponse, others: AsyncIterator[pb.ConductResponse]
) -> AsyncIterator[pb.ConductResponse]:
    yield first
    async for frame in others:
        yield frame
