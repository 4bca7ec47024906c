"""One stream of a node to its gateway, from the hello to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import grpc.aio

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.pki.keys import Credentials
from federation.wire.frames import serialize
from federation.wire.protocol import CONNECTING_SECONDS, NODE_CONNECT
from federation.wire.pulse import Patience, Pulse, while_heard


@dataclass(frozen=True)
class Stream:
    """An open stream.

    Attributes:
        credentials: with which it was opened.
        frames: what the gateway sends after its welcome.
    """

    credentials: Credentials
    frames: AsyncIterator[pb.ConnectResponse]
    _channel: grpc.aio.Channel
    _call: grpc.aio.StreamStreamCall[Any, pb.ConnectResponse]
    _writing: asyncio.Lock

    @classmethod
    async def open(
        cls, channel: grpc.aio.Channel, credentials: Credentials, hello: pb.NodeHello
    ) -> tuple[Self, pb.NodeWelcome]:
        """Send the hello and return the stream and the gateway's welcome.

        Raises:
            grpc.aio.AioRpcError: the gateway is not there, or refuses.
            WireError: it answers with something else, or not in time.
        """
        call = channel.stream_stream(
            NODE_CONNECT,
            request_serializer=serialize,
            response_deserializer=pb.ConnectResponse.FromString,
        )()
        frames = aiter(call)
        try:
            async with asyncio.timeout(CONNECTING_SECONDS):
                with contextlib.suppress(asyncio.InvalidStateError):  # the call has ended already: the frame says why
                    await call.write(pb.ConnectRequest(hello=hello))
                first = await anext(frames, None)
            if first is None or first.WhichOneof("frame") != "welcome":
                raise WireError("The gateway's first frame is not a welcome.")
        except TimeoutError:
            await channel.close()
            raise WireError("The gateway does not answer.") from None
        except BaseException:
            await channel.close()
            raise
        return cls(credentials, frames, channel, call, asyncio.Lock()), first.welcome

    async def read(self, patience: Patience, handle: Callable[[pb.ConnectResponse], Awaitable[None]]) -> None:
        """Hand every frame to ``handle`` until the gateway closes the stream, and say that this end is there.

        Raises:
            SilentError: nothing is heard of the gateway any more.
            grpc.aio.AioRpcError: it ends the stream for a reason, or the connection is gone.
        """
        pulse = Pulse(patience)

        async def beat() -> None:
            with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # it has ended: reading says why
                await self.send(pb.ConnectRequest(beat=pb.Beat()))
            pulse.said(beat=True)

        async def read() -> None:
            async for frame in self.frames:
                pulse.heard(beat=frame.WhichOneof("frame") == "beat")
                await handle(frame)

        await while_heard(pulse, beat, read())

    async def send(self, frame: pb.ConnectRequest | bytes | Callable[[], bytes]) -> None:
        """Send a frame, serialized or not, or what makes one when its turn has come; in the order of calls."""
        async with self._writing:
            await self._call.write(frame() if callable(frame) else frame)

    async def finish(self) -> None:
        """Say that nothing more will be sent; what the gateway still has for this node comes yet."""
        async with self._writing:
            with contextlib.suppress(asyncio.InvalidStateError):  # it has ended by itself
                await self._call.done_writing()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()
