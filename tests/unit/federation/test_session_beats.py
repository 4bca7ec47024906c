"""A beat is a frame of its own: what it carried the last time does not come again with the next one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from federation.gateway.session import Session
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder, Identity, Role
from federation.wire import pulse


class Taker:
    """Takes what is written to it, as it is then."""

    def __init__(self) -> None:
        self.frames: list[pb.ConductResponse] = []

    async def write(self, frame: bytes) -> None:
        self.frames.append(pb.ConductResponse.FromString(frame))


def test_what_a_beat_has_carried_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.0)
    now = datetime.now(UTC)
    taker = Taker()

    async def say() -> None:
        holder = Holder(Identity("datalab.test", Role.RUNNER, "r"), "00", now, now, "")
        session: Session[pb.ConductRequest, pb.ConductResponse] = Session(holder)
        session.takes_more, session.beat = True, lambda: pb.ConductResponse(beat=pb.Beat())
        writing = asyncio.create_task(session._write(cast("Any", taker)))
        for _ in range(2):
            session.pass_time(0.1)
            session.send(pb.ConductResponse(away=pb.NodeAway(node="oslo")))
            await session._queue.join()
        writing.cancel()

    asyncio.run(say())
    sent = [one.WhichOneof("frame") for frame in taker.frames for one in (frame, *frame.more)]
    assert sent == ["beat", "away", "beat", "away"]
