"""Raw gRPC streams, to compare with: mutual TLS, as many clients as nodes, nothing but bytes in messages of 1 MiB.

``measure`` starts one server and some clients (``python -m tests.perf.raw``), each a process of its own on grpc.aio.
The server sends each client a model, and each client sends one back.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from datalab.home import Home
from federation.pki.keys import Credentials
from federation.pki.local import issue_gateway_certificate
from federation.wire.channel import mutual_tls_channel
from federation.wire.protocol import CHANNEL_OPTIONS, CHUNK_BYTES

METHOD = "/raw/Stream"


def measure(lab: Home, identities: Sequence[Path], size: int, times: int) -> float:
    """Return the bytes a second of all streams together, both directions counted.

    Args:
        lab: whose authority certifies the server.
        identities: folders with the clients' credentials.
        size: bytes to each client, and back.
        times: how often.
    """
    folder = lab.folder("raw")
    issue_gateway_certificate(lab, "raw").store(folder)
    command = [sys.executable, "-m", "tests.perf.raw", "--bytes", str(size), "--times", str(times)]
    seconds = timed(
        [*command, "--serve", str(folder)],
        lambda port: [[*command, "--connect", port, str(one)] for one in identities],
    )
    return 2 * size * times * len(identities) / seconds


def timed(server: list[str], clients: Callable[[str], list[list[str]]]) -> float:
    """Return the seconds that the clients of a server take, from when all of them are connected.

    Args:
        server: its command; it prints its port.
        clients: returns their commands; each prints a line when it is connected, and one when it is done.
    """
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    serving = subprocess.Popen(server, **pipes)
    connected: list[subprocess.Popen[str]] = []
    try:
        connected = [subprocess.Popen(one, **pipes) for one in clients(_line(serving))]
        for client in connected:
            _line(client)
        began = time.perf_counter()
        for client in connected:
            assert client.stdin is not None
            client.stdin.write("go\n")
            client.stdin.flush()
        for client in connected:
            _line(client)
        return time.perf_counter() - began
    finally:
        for process in (*connected, serving):
            process.kill()
            process.wait()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError("A raw stream's process has ended.")
    return line


def _messages(size: int) -> list[bytes]:
    data = bytes(CHUNK_BYTES)
    return [data] * (size // CHUNK_BYTES) + [data[: size % CHUNK_BYTES]]


async def _serve(folder: Path, size: int, times: int) -> None:
    own = Credentials.load(folder)
    tls = grpc.ssl_server_credentials([(own.key_pem, own.chain_pem)], own.trust_pem, require_client_auth=True)

    async def stream(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        messages = _messages(size)
        await anext(requests)
        for _ in range(times):
            for message in messages:
                await context.write(message)
            for _ in messages:
                await anext(requests)
        await context.write(b"done")

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
            del handler_call_details
            return grpc.stream_stream_rpc_method_handler(stream)

    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    server.add_generic_rpc_handlers((Handler(),))
    print(server.add_secure_port("localhost:0", tls), flush=True)
    await server.start()
    await server.wait_for_termination()


async def _connect(port: str, folder: Path, size: int, times: int) -> None:
    messages = _messages(size)
    async with mutual_tls_channel(f"localhost:{port}", Credentials.load(folder)) as channel:
        await channel.channel_ready()
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(METHOD)()
        print("ready", flush=True)
        sys.stdin.readline()
        await call.write(b"go")
        for _ in range(times):
            for _ in messages:
                await call.read()
            for message in messages:
                await call.write(message)
        await call.read()
        print("done", flush=True)


def main() -> None:
    """Be the server or a client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, dest="size")
    parser.add_argument("--times", type=int)
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--connect", nargs=2)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(_serve(arguments.serve, arguments.size, arguments.times))
    else:
        port, folder = arguments.connect
        asyncio.run(_connect(port, Path(folder), arguments.size, arguments.times))


if __name__ == "__main__":
    main()
