"""``python -m tests.support.newer_gateway``: a gateway one minor version ahead.

It names that version, adds a field that this version does not know to every frame, and sends frames of a kind that this
version does not know.
"""

from __future__ import annotations

from typing import Any

import grpc

from datalab.service import run_service
from federation.gateway import hub, server
from federation.pb import federation_pb2 as pb
from federation.wire.frames import serialize
from federation.wire.protocol import NODE_CONNECT, PROTOCOL_MINOR

UNKNOWN_FIELD = b"\xc2\x3e\x05later"
"""Field 1000 of length 5."""


class _Talkative:
    """A stream's context that puts a frame of an unknown kind before each one."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, frame: Any) -> None:
        data = serialize(frame)
        if pb.ConnectResponse.FromString(data).WhichOneof("frame") != "welcome":  # the first frame has to be one
            await self._context.write(UNKNOWN_FIELD)
        await self._context.write(data + UNKNOWN_FIELD)


class _Newer(server._Members):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler: Any = super().service(handler_call_details)
        if handler_call_details.method == NODE_CONNECT:
            handler = handler._replace(response_serializer=bytes)
        return handler  # type: ignore[no-any-return]

    async def _connect(self, requests: Any, context: Any) -> None:
        await super()._connect(requests, _Talkative(context))  # type: ignore[arg-type]


if __name__ == "__main__":
    hub.PROTOCOL_MINOR = PROTOCOL_MINOR + 1  # type: ignore[attr-defined]
    server._Members = _Newer  # type: ignore[misc]
    run_service(server.main)
