"""A TCP proxy on loopback whose connections a test can cut, as a network does."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass
class _Line:
    """A connection through the proxy: when something last passed, and whether it has been forgotten."""

    last: float
    forgotten: bool = False


class Proxy:
    """Passes bytes on to ``host:port`` until told to cut, or to delay each direction's pieces.

    Args:
        host: where to connect to.
        port: likewise.
        piece_delay: seconds to hold each piece of up to 64 KiB, so that a large transfer takes long enough to be cut.
        forget_after: seconds of silence after which a connection is forgotten, as a NAT does: neither side is told,
            and what either sends from then on goes nowhere.
        tls: what it serves TLS with, in front of a server without.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        piece_delay: float = 0.0,
        forget_after: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._forget_after = forget_after
        self.forgotten = 0
        self._severed = False
        self._target = (host, port)
        self._tls = tls
        self._delay = piece_delay
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0
        self.bytes_passed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self) -> None:
        """Close every connection at once; new ones are passed on again."""
        self._loop.call_soon_threadsafe(self._abort)

    def sever(self) -> None:
        """Let nothing through any more, and tell nobody, until ``mend``."""
        self._severed = True

    def mend(self) -> None:
        """Close what was severed, and pass new connections on again."""
        self._severed = False
        self.cut()

    def take_no_more(self) -> None:
        """Pass no new connection on; those that are open stay."""
        self._loop.call_soon_threadsafe(self._server.close)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        self._abort()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:  # nobody listens there now
            writer.transport.abort()
            return
        pair = {writer, back}
        self._writers |= pair
        line = _Line(time.monotonic())
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the proxy ends, and asyncio would print it
                await asyncio.gather(self._pass(reader, back, line), self._pass(there, writer, line))
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, line: _Line) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(1 << 16):
                silent, line.last = time.monotonic() - line.last, time.monotonic()
                if not line.forgotten and self._forget_after is not None and silent > self._forget_after:
                    line.forgotten = True
                    self.forgotten += 1
                if line.forgotten or self._severed:
                    continue
                if self._delay:
                    await asyncio.sleep(self._delay)
                target.write(piece)
                await target.drain()
                self.bytes_passed += len(piece)
        target.transport.abort()
