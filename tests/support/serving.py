"""A gRPC server inside the test process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import grpc.aio


@contextmanager
def serving(start: Callable[[], Coroutine[Any, Any, tuple[grpc.aio.Server, int]]]) -> Iterator[int]:
    """Run a ``grpc.aio`` server in a thread with a loop of its own; yields its port."""
    ready: list[int] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        server, port = await start()
        ready.append(port)
        started.set()
        await stop.wait()
        await server.stop(None)

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(20)
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
