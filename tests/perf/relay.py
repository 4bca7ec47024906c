"""The least that carrying a model costs over three hops: what share of raw streams there can be on this machine.

Runner, gateway and nodes, each a process on grpc.aio with mutual TLS and messages of 1 MiB. The runner sends a model,
which the gateway passes on to each node; each node stores and hashes it, makes another one of it as its worker would
(reads it, hashes and stores what comes out), and sends that through the gateway to the runner, which stores and hashes
it. Nothing is asked for, parsed, checked or written down. ``tests.perf.rounds --compare raw`` measures it as well.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from datalab.home import Home
from datalab.service import keep_freed_memory
from federation.pki.keys import Credentials
from federation.pki.local import issue_gateway_certificate
from federation.wire.channel import mutual_tls_channel
from federation.wire.protocol import CHANNEL_OPTIONS, CHUNK_BYTES, FETCH_WINDOW
from tests.perf import raw

NODE, RUNNER = "/relay/Node", "/relay/Runner"


def measure(lab: Home, identities: Sequence[Path], size: int, times: int) -> float:
    """Return the bytes a second between gateway and nodes, both directions counted (as ``raw.measure``)."""
    folder = lab.folder("relay")
    issue_gateway_certificate(lab, "relay").store(folder)
    common = [sys.executable, "-m", "tests.perf.relay", "--bytes", str(size), "--times", str(times)]
    common += ["--nodes", str(len(identities))]
    clients = [["--node", str(one)] for one in identities]
    seconds = raw.timed(
        [*common, "--serve", str(folder)],
        lambda port: [[*common, "--connect", port, *one] for one in (*clients, ["--runner", str(identities[0])])],
    )
    return 2 * size * times * len(identities) / seconds


class _Stored:
    """A buffer that is stored and hashed as it comes."""

    def __init__(self, folder: str, name: str) -> None:
        self.path = Path(folder, name)
        self._file = self.path.open("wb", buffering=0)
        self._digest = hashlib.sha256()

    def add(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._file.write(data)

    def close(self) -> None:
        self._file.close()
        self._digest.digest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _made(folder: str, name: str, data: bytes) -> Path:
    made = _Stored(folder, name)
    made.add(data)
    made.close()
    return made.path


class _Gateway(grpc.GenericRpcHandler):
    def __init__(self, size: int, times: int, nodes: int) -> None:
        self._count, self._times, self._nodes = -(-size // CHUNK_BYTES), times, nodes
        self._down: list[asyncio.Queue[bytes]] = []
        self._up: asyncio.Queue[bytes] = asyncio.Queue(FETCH_WINDOW * nodes)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        to_node = handler_call_details.method == NODE
        return grpc.stream_stream_rpc_method_handler(self._node if to_node else self._runner)

    async def _node(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await anext(requests)
        number, queue = len(self._down), asyncio.Queue[bytes](FETCH_WINDOW)
        self._down.append(queue)
        for _ in range(self._times):
            for _ in range(self._count):
                await context.write(await queue.get())
            for _ in range(self._count):
                await self._up.put(bytes([number]) + await anext(requests))
        await context.write(b"done")

    async def _runner(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await anext(requests)
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(self._times):
                kept = _Stored(folder, str(turn))
                for _ in range(self._count):
                    piece = await anext(requests)
                    kept.add(piece)
                    for queue in self._down:
                        await queue.put(piece)
                kept.close()
                for _ in range(self._count * self._nodes):
                    await context.write(await self._up.get())


async def _serve(folder: Path, size: int, times: int, nodes: int) -> None:
    own = Credentials.load(folder)
    tls = grpc.ssl_server_credentials([(own.key_pem, own.chain_pem)], own.trust_pem, require_client_auth=True)
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    server.add_generic_rpc_handlers((_Gateway(size, times, nodes),))
    print(server.add_secure_port("localhost:0", tls), flush=True)
    await server.start()
    await server.wait_for_termination()


async def _be_node(call: Any, size: int, times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(times):
            inbox = _Stored(folder, f"in-{turn}")
            for _ in range(-(-size // CHUNK_BYTES)):
                inbox.add(await call.read())
            inbox.close()
            for piece in _pieces(_made(folder, f"out-{turn}", inbox.path.read_bytes())):
                await call.write(piece)
    await call.read()


async def _be_runner(call: Any, size: int, times: int, nodes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(times):
            for piece in _pieces(_made(folder, f"model-{turn}", bytes(size))):
                await call.write(piece)
            replies = [_Stored(folder, f"{turn}-{number}") for number in range(nodes)]
            for _ in range(nodes * -(-size // CHUNK_BYTES)):
                message = memoryview(await call.read())
                replies[message[0]].add(message[1:])
            for reply in replies:
                reply.close()


async def _connect(port: str, arguments: argparse.Namespace) -> None:
    folder = arguments.node or arguments.runner
    async with mutual_tls_channel(f"localhost:{port}", Credentials.load(folder)) as channel:
        await channel.channel_ready()
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(NODE if arguments.node else RUNNER)()
        if arguments.node:
            await call.write(b"go")
        print("ready", flush=True)
        sys.stdin.readline()
        if arguments.node:
            await _be_node(call, arguments.size, arguments.times)
        else:
            await call.write(b"go")
            await _be_runner(call, arguments.size, arguments.times, arguments.nodes)
        print("done", flush=True)


def main() -> None:
    """Be the gateway, a node or the runner."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, dest="size")
    parser.add_argument("--times", type=int)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--connect")
    parser.add_argument("--node", type=Path)
    parser.add_argument("--runner", type=Path)
    arguments = parser.parse_args()
    keep_freed_memory()
    if arguments.serve:
        asyncio.run(_serve(arguments.serve, arguments.size, arguments.times, arguments.nodes))
    else:
        asyncio.run(_connect(arguments.connect, arguments))


if __name__ == "__main__":
    main()
