"""Parts of pages that change by themselves: server-sent events, each the whole part as HTML.

A part's *state* is a short text that changes when the part does; it is the event's id. So a browser that was cut off
says with ``Last-Event-ID`` what it has seen, and gets the part only if it is another one by now; nothing can be missed,
and nothing is kept for it. A stream ends by itself, and the browser comes back; it ends for good when the part is over,
the session has ended, or whoever looks may look no longer. ``static/live.js`` is the browser's side.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from catalog.errors import TooManyAttemptsError
from catalog.permissions import Action, may
from catalog.web.pages.page import Page
from datalab.errors import NotFoundError, RefusedError

INTERVAL = 0.3
"""Seconds between two looks at a part."""
HEARTBEAT = 15.0
"""Seconds without a word after which a comment is sent: proxies and browsers see that the stream lives."""
LIFETIME = 600.0
"""Seconds after which a stream ends and the browser comes back."""
RETRY = 2000
"""Milliseconds after which a browser comes back."""
MAX_STREAMS, MAX_STREAMS_EACH = 200, 8
"""Streams at once, in all and of one account."""
_STATE = re.compile(r"[A-Za-z0-9._:-]{1,200}")


@dataclass(frozen=True)
class Update:
    """A part as it is now.

    Attributes:
        state: letters, digits and ``._:-``; another one whenever the HTML is another.
        html: the part.
        over: whether it will not change any more.
    """

    state: str
    html: str
    over: bool = False


Look = Callable[[str], Update | None]
"""Returns a part as it is now, or None if its state is the one given; may raise what the page itself would raise."""


class Streams:
    """The streams that one server has open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams: the server stops."""
        self._closing.set()

    def check(self, account: str) -> None:
        """Raise TooManyAttemptsError if an account, or all of them, have as many streams as they may."""
        if self._open.total() >= MAX_STREAMS or self._open[account] >= MAX_STREAMS_EACH:
            raise TooManyAttemptsError(
                "Too many pages that change by themselves are open.", next_step="Close some, or load this page again."
            )

    @contextmanager
    def place(self, account: str) -> Iterator[None]:
        """Count a stream while it is open."""
        self._open[account] += 1
        try:
            yield
        finally:
            self._open[account] -= 1
            if not self._open[account]:
                del self._open[account]

    async def pause(self, seconds: float) -> bool:
        """Wait; return False, at once, when the server stops."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return True
        return False


def live(page: Page, action: Action, look: Look, *, seen: str = "") -> StreamingResponse:
    """Return the stream of a part of a page.

    Args:
        page: as the page's own dependency (``Shown(action)``) gave it.
        action: what the page shows; the stream ends once the account may not do it any more.
        look: how the part is now; called in a thread, again and again.
        seen: the state with which the page was made; what the browser itself says goes before it.

    Raises:
        TooManyAttemptsError: too many streams are open.
    """
    streams: Streams = page.request.app.state.streams
    streams.check(page.account.name)
    last = page.request.headers.get("Last-Event-ID", seen)
    return _Stream(streams, page.account.name, frames(page, action, look, last, streams))


async def frames(page: Page, action: Action, look: Look, seen: str, streams: Streams) -> AsyncIterator[str]:
    """Yield the events of a stream, from the state that the browser has seen."""
    clock = asyncio.get_running_loop().time
    end, spoke = clock() + LIFETIME, clock()
    yield f"retry: {RETRY}\n\n"
    while clock() < end:
        update, stays = await run_in_threadpool(_look, page, action, look, seen)
        if not stays:
            yield "event: leave\ndata:\n\n"
            return
        if update is not None:
            seen, spoke = update.state, clock()
            yield _event(update)
            if update.over:
                yield "event: over\ndata:\n\n"
                return
        elif clock() - spoke >= HEARTBEAT:
            spoke = clock()
            yield ": still here\n\n"
        if not await streams.pause(INTERVAL):
            return


def _look(page: Page, action: Action, look: Look, seen: str) -> tuple[Update | None, bool]:
    """Return what has changed, and whether the browser may stay."""
    session = None if page.session is None else page.lab.sessions.find(page.session.id)
    if session is None or not session.complete or not may(session.account.role, action):
        return None, False
    try:
        return look(seen), True
    except (RefusedError, NotFoundError):
        return None, False


def _event(update: Update) -> str:
    assert _STATE.fullmatch(update.state), "a part's state is an event's id"
    data = "".join(f"data: {line}\n" for line in update.html.splitlines())
    return f"event: part\nid: {update.state}\n{data}\n"


class _Stream(StreamingResponse):
    def __init__(self, streams: Streams, account: str, content: AsyncIterator[str]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._streams = streams
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.place(self._account):
            await super().__call__(scope, receive, send)
