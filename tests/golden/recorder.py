"""``python -m tests.golden.recorder``: the gateway, which also writes down every frame to and from nodes.

The frames go to the file named by ``TRANSCRIPT``, a line each, as the bytes that were on the wire.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import grpc

from datalab.service import run_service
from federation.gateway import server
from federation.pb import federation_pb2 as pb
from federation.wire.frames import serialize
from federation.wire.protocol import NODE_CONNECT

VARIABLE = "TRANSCRIPT"


class _Recording(server._Members):
    """The gateway's methods; the nodes' streams are written down."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler: Any = super().service(handler_call_details)
        if handler_call_details.method == NODE_CONNECT:
            handler = handler._replace(
                request_deserializer=lambda data: _note("node", data, pb.ConnectRequest),
                response_serializer=lambda frame: _note("gateway", serialize(frame), pb.ConnectResponse),
            )
        return handler  # type: ignore[no-any-return]


def _note(sender: str, data: bytes, kind: Any) -> bytes:
    frame = kind.FromString(data).WhichOneof("frame")
    if frame == "beat":  # it depends on the time alone whether there is one
        return data
    line = {"from": sender, "kind": frame, "frame": base64.b64encode(data).decode()}
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(line)}\n")
    return data


if __name__ == "__main__":
    server._Members = _Recording  # type: ignore[misc]
    run_service(server.main)
