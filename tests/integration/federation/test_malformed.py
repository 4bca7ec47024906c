"""Whatever bytes a node sends, the gateway lives on, and those who behave notice nothing."""

from __future__ import annotations

import asyncio
import json
import random

import grpc.aio
import numpy as np
import pytest

from datalab.audit.verification import verify
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2
from federation.wire.protocol import MAX_FETCHES, MAX_FRAME_BYTES
from tests.golden.transcript import read, transcripts
from tests.integration.federation.conftest import NODES
from tests.support.federation import Federation
from tests.support.peer import HELLO, Peer

STREAMS = 150
FRAMES = [line.frame for line in read(transcripts()[-1]) if line.sender == "node"]


def mutate(frame: bytes, chance: random.Random) -> bytes:
    """Cut, repeat, insert or flip bytes of a frame."""
    data = bytearray(frame)
    for _ in range(chance.randint(1, 8)):
        at, length = chance.randrange(len(data) + 1), chance.randint(1, 40)
        match chance.randrange(4):
            case 0:
                del data[at : at + length]
            case 1:
                data[at:at] = data[at : at + length]
            case 2:
                data[at:at] = chance.randbytes(length)
            case _ if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
    return bytes(data)


async def babble(federation: Federation, *, seed: int) -> int:
    """Send mutated frames on many streams; return how many of these the gateway ended."""
    credentials, chance, ended = federation.add_peer(f"babbler-{seed}"), random.Random(seed), 0
    for _ in range(STREAMS):
        async with Peer(federation.lab, credentials) as peer:
            try:
                if chance.random() < 0.7:
                    await peer.send(HELLO)
                for _ in range(chance.randint(1, 20)):
                    await peer.send(mutate(chance.choice(FRAMES), chance))
                await peer.receive_kind("run_end")  # there is none: what comes is the stream's end, or nothing more
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, AssertionError):
                ended += 1
            except TimeoutError:
                continue
    return ended


def test_no_bytes_of_a_node_disturb_the_gateway(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.peer.ANSWER_SECONDS", 0.3)
    gateway = federation.processes["gateway"]
    assert asyncio.run(babble(federation, seed=1)) > STREAMS // 2, "most of it is no protocol"
    assert gateway.poll() is None
    run = federation.run(NODES, config={"num-server-rounds": 2})
    np.testing.assert_array_equal(np.load(run.artifacts / "model.npy"), np.full(250, 2.0, np.float32))
    assert verify(federation.lab.path / "gateway" / "audit.jsonl").intact


def oversize() -> bytes:
    return pb.ConnectRequest(chunk=pb.Chunk(data=bytes(MAX_FRAME_BYTES))).SerializeToString()


async def say(federation: Federation, name: str, *frames: bytes | pb.ConnectRequest) -> tuple[str, str]:
    async with Peer(federation.lab, federation.add_peer(name)) as peer:
        try:
            for frame in frames:
                await peer.send(frame)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the end of the stream says why
        return await peer.end()


@pytest.mark.parametrize(
    ("name", "frame", "code", "said"),
    [
        ("oversize", oversize(), "INVALID_ARGUMENT", "over the limit"),
        ("garbage", b"\xff" * 100, "INVALID_ARGUMENT", "not a valid message"),
        ("no-hello", pb.ConnectRequest(fetch=pb.Fetch(run_id="run-1")), "FAILED_PRECONDITION", "Upgrade the node"),
    ],
    ids=["oversize", "garbage", "no-hello"],
)
def test_a_stream_that_breaks_the_protocol_is_ended_with_a_reason(
    federation: Federation, name: str, frame: bytes | pb.ConnectRequest, code: str, said: str
) -> None:
    got, details = asyncio.run(say(federation, name, frame))
    assert said in details
    assert got == code


def test_what_was_refused_is_on_record(federation: Federation) -> None:
    asyncio.run(say(federation, "recorded", HELLO, b"\xff" * 100))
    log = federation.lab.path / "gateway" / "audit.jsonl"
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    refused = [one["details"] for one in entries if one["event"] == "stream refused"]
    assert refused[-1]["peer"].endswith("/node/recorded")
    assert "not a valid message" in refused[-1]["reason"]


def hostile_content(sha256: bytes) -> records_pb2.RecordDict:
    content = records_pb2.RecordDict()
    array = content.entries.add(key="arrays").array_record.entries.add(key="model").array
    array.dtype, array.sha256 = "float32", sha256
    return content


def test_frames_about_a_run_that_is_not_the_peers_are_left_unanswered(federation: Federation) -> None:
    """Neither their content nor whether there is such a run is told."""

    async def ask() -> None:
        async with Peer(federation.lab, federation.add_peer("nosy")) as peer:
            await peer.send(HELLO)
            await peer.receive_kind("welcome")
            for _ in range(2 * MAX_FETCHES):
                await peer.send(pb.ConnectRequest(fetch=pb.Fetch(run_id="run-1", sha256=b"s" * 32, length=1)))
            await peer.send(
                pb.ConnectRequest(reply=pb.Reply(run_id="run-1", task_id="1", content=hostile_content(b"short")))
            )
            await peer.send(pb.ConnectRequest(decision=pb.Decision(run_id="run-1")))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await peer.receive()

    asyncio.run(ask())
    assert federation.processes["gateway"].poll() is None
