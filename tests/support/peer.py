"""A node as the wire sees it, without an agent: a stream opened with given credentials, and what comes on it."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import grpc

from federation.enrolment.client import gateway_address
from federation.pb import federation_pb2 as pb
from federation.pki.keys import Credentials
from federation.wire.protocol import NODE_CONNECT, PROTOCOL_MAJOR

TIMEOUT = 30.0


class Peer:
    """A node's stream, open inside ``with``.

    Args:
        address: of the gateway.
        credentials: of the node.
        trust: roots by which it knows the gateway; those of ``credentials`` if not given.
    """

    def __init__(self, address: str, credentials: Credentials, *, trust: bytes | None = None) -> None:
        self.nonce = secrets.token_bytes(32)
        tls = grpc.ssl_channel_credentials(trust or credentials.trust_pem, credentials.key_pem, credentials.chain_pem)
        self._channel = grpc.secure_channel(address, tls)
        self._outgoing: queue.SimpleQueue[pb.ConnectRequest | None] = queue.SimpleQueue()
        hello = pb.NodeHello(protocol_major=PROTOCOL_MAJOR, software="test", nonce=self.nonce)
        self._outgoing.put(pb.ConnectRequest(hello=hello))

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return one with the identity in ``folder``, as ``enrol`` left it."""
        return cls(gateway_address(folder), Credentials.load(folder))

    def __enter__(self) -> Self:
        method = self._channel.stream_stream(
            NODE_CONNECT, pb.ConnectRequest.SerializeToString, pb.ConnectResponse.FromString
        )
        self._call: Any = method(self._frames(), timeout=TIMEOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outgoing.put(None)
        self._call.cancel()
        self._channel.close()

    def next(self) -> pb.ConnectResponse:
        """Return the next frame; grpc.RpcError when the stream has ended."""
        return cast("pb.ConnectResponse", next(self._call))

    def welcome(self) -> pb.NodeWelcome:
        """Return the first frame."""
        frame = self.next()
        assert frame.WhichOneof("frame") == "welcome"
        return frame.welcome

    def revocations(self) -> pb.RevocationList:
        """Return the next list of revoked certificates that is pushed."""
        while (frame := self.next()).WhichOneof("frame") != "revocations":
            pass
        return frame.revocations

    def end(self) -> str:
        """Read to the end of the stream; return how it ended: the status and what was said."""
        try:
            while True:
                self.next()
        except grpc.RpcError as error:
            call = cast("grpc.Call", error)
            return f"{call.code().name}: {call.details()}"
        except StopIteration:
            return "OK: "

    def _frames(self) -> Iterator[pb.ConnectRequest]:
        while (frame := self._outgoing.get()) is not None:
            yield frame
