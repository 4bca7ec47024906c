"""What a peer cannot make the gateway do: write without end, wait without end, or take numbers that are none."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from datalab.audit.chain import Head
from federation.errors import WireError
from federation.gateway.hub import Hub
from federation.gateway.run import Run
from federation.gateway.session import Session
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder, Identity, Role
from federation.wire import protocol
from federation.wire.protocol import MAX_BUFFER_BYTES, MAX_REFUSED, check_offset, first_of

UNUSED = cast("Any", None)


def holder(role: Role, name: str) -> Holder:
    now = datetime.now(UTC)
    return Holder(Identity("datalab.test", role, name), "00", now, now, "")


def opened(folder: Path) -> Run:
    place = pb.RunOpen.Place(node="oslo", offer=pb.Offer(run_id="r", app_sha256=bytes(32)))
    return Run(pb.RunOpen(run_id="r", places=[place]), Session(holder(Role.RUNNER, "r")), folder)


def test_refused_replies_are_written_down_so_often_and_then_the_stream_is_cut(tmp_path: Path) -> None:
    written: list[str] = []

    def record(event: str, **_: Any) -> Head:
        written.append(event)
        return Head(len(written), "0" * 64)

    async def flood() -> bool:
        hub, run = Hub(tmp_path, UNUSED, record, UNUSED), opened(tmp_path)
        hub.runs["r"], hub.nodes["oslo"] = run, Session(holder(Role.NODE, "oslo"))
        for number in range(5 * MAX_REFUSED):
            hub._accept_reply(run, pb.Reply(run_id="r", task_id=str(number)), "oslo")
        return hub.nodes["oslo"]._cut.done()

    assert asyncio.run(flood())
    assert written == ["reply refused"] * MAX_REFUSED


@pytest.mark.parametrize("ttl", [math.nan, math.inf, 0.0, -1.0])
def test_a_task_must_say_how_long_it_counts(tmp_path: Path, ttl: float) -> None:
    async def give() -> None:
        opened(tmp_path).accept_task(pb.Task(run_id="r", node="oslo", task_id="1", ttl=ttl))

    with pytest.raises(WireError, match="seconds"):
        asyncio.run(give())


def test_a_run_is_taken_up_with_the_same_words_only_and_late_replies_are_dropped(tmp_path: Path) -> None:
    async def take_up() -> None:
        run = opened(tmp_path)
        run.accept_task(pb.Task(run_id="r", node="oslo", task_id="1", ttl=1.0))
        offer = pb.Offer(run_id="r", app_sha256=bytes(32), runner_signature=b"new")
        again = Session[Any, Any](holder(Role.RUNNER, "r"))
        other = pb.RunOpen.Place(node="oslo", offer=pb.Offer(run_id="r", purpose="x"))
        for place in (pb.RunOpen.Place(node="bergen", offer=offer), other):
            with pytest.raises(WireError, match="the same in every word"):
                run.take_up(pb.RunOpen(run_id="r", places=[place]), again)
        run.take_up(pb.RunOpen(run_id="r", places=[pb.RunOpen.Place(node="oslo", offer=offer)]), again)
        assert run.runner is again
        assert run.places["oslo"].offer.runner_signature == b"new"
        assert not run.accept_reply(pb.Reply(run_id="r", task_id="1"), "oslo"), "nobody waits for it any more"
        run.accept_task(pb.Task(run_id="r", node="oslo", task_id="1", ttl=1.0))
        assert run.accept_reply(pb.Reply(run_id="r", task_id="1"), "oslo")
        assert not run.accept_reply(pb.Reply(run_id="r", task_id="1"), "oslo"), "the node said it twice"
        with pytest.raises(WireError, match="was not given"):
            run.accept_reply(pb.Reply(run_id="r", task_id="2"), "oslo")

    asyncio.run(take_up())


def test_no_piece_begins_beyond_the_largest_buffer() -> None:
    check_offset(MAX_BUFFER_BYTES)
    with pytest.raises(WireError, match="beyond"):
        check_offset(1 << 63)


def test_a_stream_without_a_hello_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HELLO_SECONDS", 0.05)

    async def silent() -> AsyncIterator[pb.ConnectRequest]:
        await asyncio.Event().wait()
        yield pb.ConnectRequest()

    with pytest.raises(WireError, match="no first frame"):
        asyncio.run(first_of(silent()))


def test_a_peer_that_takes_nothing_is_ended_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        async def write(self, frame: bytes) -> None:
            del frame
            await asyncio.Event().wait()

    async def silent() -> AsyncIterator[pb.ConnectRequest]:
        await asyncio.Event().wait()
        yield pb.ConnectRequest()

    async def stall() -> None:
        session: Session[pb.ConnectRequest, pb.ConnectResponse] = Session(holder(Role.NODE, "n"))
        session.send(pb.ConnectResponse(run_end=pb.RunEnd(run_id="r")))
        serving = asyncio.create_task(session.serve(silent(), cast("Any", Stuck()), cast("Any", None)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        session.check_taking()
        await asyncio.sleep(0)
        assert not serving.done()  # it has some time
        monkeypatch.setattr("federation.gateway.session.STALLED_SECONDS", -1.0)
        monkeypatch.setattr("federation.gateway.session.WRITTEN_SECONDS", 0.0)
        session.check_taking()
        await serving

    with pytest.raises(WireError, match="has taken nothing"):
        asyncio.run(stall())


class Taker:
    """Takes what is written to it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    async def write(self, frame: bytes) -> None:
        self.frames.append(frame)


def test_what_waits_for_a_peer_is_counted_back_to_nothing() -> None:
    """Also where frames go out together: one that carries others is larger than it was when it was queued."""

    async def pass_on() -> tuple[int, int]:
        session: Session[pb.ConductRequest, pb.ConductResponse] = Session(holder(Role.RUNNER, "r"))
        session.takes_more, taker = True, Taker()
        for number in range(50):
            session.send(pb.ConductResponse(reply=pb.Reply(task_id=str(number))))
        writing = asyncio.create_task(session._write(cast("Any", taker)))
        await session._queue.join()
        writing.cancel()
        return session.waiting_bytes, len(taker.frames)

    assert asyncio.run(pass_on()) == (0, 1)
