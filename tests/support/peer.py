"""A node's stream spoken by a test itself, byte by byte: what an old, a new or a hostile node might say."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

import grpc.aio

from datalab.home import Home
from federation.pb import federation_pb2 as pb
from federation.pki.keys import Credentials
from federation.wire.channel import mutual_tls_channel
from federation.wire.protocol import NODE_CONNECT, PROTOCOL_MAJOR, PROTOCOL_MINOR

HELLO = pb.ConnectRequest(
    hello=pb.NodeHello(protocol_major=PROTOCOL_MAJOR, protocol_minor=PROTOCOL_MINOR, nonce=b"n" * 32)
)
ANSWER_SECONDS = 20.0


class Peer:
    """A stream to the gateway; frames go out as given, bytes or messages, and come in parsed.

    Args:
        lab: home of the gateway.
        credentials: of an enrolled node.
    """

    def __init__(self, lab: Home, credentials: Credentials) -> None:
        address = lab.address("gateway")
        self._channel = mutual_tls_channel(f"{address['host']}:{address['port']}", credentials)

    async def __aenter__(self) -> Self:
        self._call: Any = self._channel.stream_stream(
            NODE_CONNECT,
            request_serializer=lambda frame: frame if isinstance(frame, bytes) else frame.SerializeToString(),
            response_deserializer=pb.ConnectResponse.FromString,
        )()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def send(self, frame: bytes | pb.ConnectRequest) -> None:
        """Send one frame."""
        await self._call.write(frame)

    async def receive(self) -> pb.ConnectResponse:
        """Return the next frame; raises grpc.aio.AioRpcError if the gateway has ended the stream instead."""
        async with asyncio.timeout(ANSWER_SECONDS):
            frame = await self._call.read()
        assert isinstance(frame, pb.ConnectResponse), "the gateway has closed the stream"
        return frame

    async def receive_kind(self, kind: str) -> Any:
        """Return the content of the next frame of a kind; others before it are dropped."""
        while (frame := await self.receive()).WhichOneof("frame") != kind:
            pass
        return getattr(frame, kind)

    async def end(self) -> tuple[str, str]:
        """Wait until the gateway ends the stream, and return the status and what it says."""
        async with asyncio.timeout(ANSWER_SECONDS):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self._call.read() is not grpc.aio.EOF:
                    pass
            code = await self._call.code()
        return code.name, await self._call.details()


def accepting(offer: pb.Offer) -> pb.ConnectRequest:
    """Return the decision that accepts ``offer``."""
    return pb.ConnectRequest(decision=pb.Decision(run_id=offer.run_id, code=pb.DECISION_CODE_ACCEPTED))
