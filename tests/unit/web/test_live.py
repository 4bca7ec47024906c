from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from catalog.accounts import Accounts, put_account
from catalog.errors import NotPermittedError, TooManyAttemptsError
from catalog.permissions import Action
from catalog.records import Role
from catalog.sessions import Sessions
from catalog.store import Store
from catalog.web import live
from catalog.web.live import MAX_STREAMS_EACH, Streams, Update, frames
from catalog.web.pages.language import language
from catalog.web.pages.page import Page
from tests.unit.catalog.examples import account


class Board:
    """A part of a page with a text on it."""

    def __init__(self) -> None:
        self.text = "one"
        self.over = False
        self.hidden = False

    def look(self, seen: str) -> Update | None:
        if self.hidden:
            raise NotPermittedError("no longer")
        return None if seen == self.text else Update(self.text, f"<p>\n{self.text}</p>", self.over)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A page that somebody is signed in to."""
    store = Store(tmp_path / "records.duckdb")
    somebody = account(Role.RESEARCHER)
    Accounts(store).create(somebody, actor="olga")
    sessions = Sessions(store)
    found = sessions.find(sessions.open(somebody.name, complete=True, second_factor=False))
    request = Request({"type": "http", "headers": [], "path": "/", "query_string": b""})
    yield Page(request, cast("Any", SimpleNamespace(store=store, sessions=sessions)), language("en"), found)
    store.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.01)


async def rest(stream: AsyncIterator[str]) -> list[str]:
    return [frame async for frame in stream]


async def test_a_part_is_sent_when_it_changes_and_once_only(page: Page) -> None:
    board = Board()
    stream = frames(page, Action.RUN_READ, board.look, "", Streams())
    assert (await anext(stream)).startswith("retry: ")
    assert await anext(stream) == "event: part\nid: one\ndata: <p>\ndata: one</p>\n\n"
    board.text, board.over = "two", True
    assert await rest(stream) == ["event: part\nid: two\ndata: <p>\ndata: two</p>\n\n", "event: over\ndata:\n\n"]


async def test_a_browser_that_comes_back_gets_only_what_it_has_not_seen(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LIFETIME", 0.1)
    board = Board()
    assert len(await rest(frames(page, Action.RUN_READ, board.look, "one", Streams()))) == 1
    board.text = "two"
    later = await rest(frames(page, Action.RUN_READ, board.look, "one", Streams()))
    assert [frame.partition("\ndata")[0] for frame in later[1:]] == ["event: part\nid: two"]


async def test_a_quiet_stream_shows_that_it_lives(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 0.02)
    stream = frames(page, Action.RUN_READ, Board().look, "one", Streams())
    await anext(stream)
    assert await anext(stream) == ": still here\n\n"


@pytest.mark.parametrize("why", ["signed out", "another role", "hidden"])
async def test_a_stream_ends_with_the_session_and_with_the_right(page: Page, why: str) -> None:
    board, store = Board(), page.lab.store
    stream = frames(page, Action.RUN_READ, board.look, "", Streams())
    await anext(stream)
    await anext(stream)
    assert page.session is not None
    if why == "signed out":
        page.lab.sessions.close(page.session)
    elif why == "another role":
        with store.change("olga") as change:
            put_account(change, page.account.model_copy(update={"role": Role.COMPUTE}), token_sha256="")
    else:
        board.hidden = True
    assert await rest(stream) == ["event: leave\ndata:\n\n"]


async def test_streams_end_when_the_server_stops_and_are_counted(page: Page) -> None:
    streams = Streams()
    stream = frames(page, Action.RUN_READ, Board().look, "", streams)
    await anext(stream)
    await anext(stream)
    streams.close()
    assert await rest(stream) == []
    with ExitStack() as opened:
        for _ in range(MAX_STREAMS_EACH):
            streams.check("rosa")
            opened.enter_context(streams.place("rosa"))
        streams.check("another")
        with pytest.raises(TooManyAttemptsError):
            streams.check("rosa")
    streams.check("rosa")
