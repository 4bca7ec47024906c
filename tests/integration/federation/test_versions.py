"""A node and a gateway one minor version apart work together, whichever is the older."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datalab.supervisor import Supervisor
from federation.bundle import digest, pack
from federation.pb import federation_pb2 as pb
from federation.pki.keys import Credentials
from federation.wire.pieces import piece_of
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR
from tests.golden.transcript import APP, NODE, RUN, Line, read, transcripts
from tests.support.federation import Federation
from tests.support.newer_gateway import UNKNOWN_FIELD
from tests.support.peer import Peer

SUPPORTED = {f"protocol-{PROTOCOL_MAJOR}.{minor}.jsonl" for minor in (PROTOCOL_MINOR - 1, PROTOCOL_MINOR)}


def frozen_app(lines: list[Line]) -> bytes:
    """The digest of the app as it was packed when the transcript was made."""
    offer = next(pb.ConnectResponse.FromString(line.frame).offer for line in lines if line.kind == "offer")
    return offer.app_sha256


def check_same(was: pb.ConnectResponse, now: pb.ConnectResponse, *, app_then: bytes, app_now: bytes) -> None:
    """What the gateway tells a node today is what it told it then, where that does not depend on day and keys."""
    kind = was.WhichOneof("frame")
    assert now.WhichOneof("frame") == kind
    match kind:
        case "welcome":
            assert now.welcome.protocol_major == was.welcome.protocol_major
            assert now.welcome.signature
        case "offer":
            for name in ("run_id", "dataset", "dataset_version", "purpose", "seed", "config"):
                assert getattr(now.offer, name) == getattr(was.offer, name), name
            assert (was.offer.app_sha256, now.offer.app_sha256) == (app_then, app_now)
            assert now.offer.runner_signature
        case "chunk" if was.chunk.sha256 != app_then:
            assert piece_of(now.chunk) == piece_of(was.chunk)
            assert (now.chunk.size, now.chunk.offset) == (was.chunk.size, was.chunk.offset)
        case "chunk":
            assert now.chunk.sha256 == app_now
            assert not now.chunk.missing
        case "run_end":
            assert now.run_end.outcome == was.run_end.outcome == "completed"
        case "task" | "fetch":
            assert now == was


async def replay(federation: Federation, credentials: Credentials, lines: list[Line], later: bytes = b"") -> None:
    """Say what the node of the transcript said, in its bytes, and compare what it is told.

    Args:
        federation: with the gateway.
        credentials: of an enrolled node.
        lines: the transcript.
        later: bytes after each of the node's frames: fields that this version does not know.
    """
    app_then, app_now = frozen_app(lines), bytes.fromhex(digest(pack(APP)))
    async with Peer(federation.lab, credentials) as peer:
        for line in lines:
            if line.sender == "node":
                frame = line.frame.replace(app_then, app_now)
                if later and line.kind != "hello":
                    await peer.send(later)
                await peer.send(frame + later)
            else:
                was = pb.ConnectResponse.FromString(line.frame)
                check_same(was, await peer.receive(), app_then=app_then, app_now=app_now)


def take_part(federation: Federation, lines: list[Line], later: bytes = b"") -> str:
    """Replay a transcript while a real runner conducts the run; return the run's outcome."""
    credentials = federation.add_peer(NODE)
    with ThreadPoolExecutor(1) as pool:
        replaying = pool.submit(asyncio.run, replay(federation, credentials, lines, later))
        run = federation.run([NODE], app=APP, run_id=RUN)
        replaying.result(timeout=30)
    return str(run.read_card()["outcome"])


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Federation]:
    """A gateway of this test's own: a transcript names its run, which a gateway conducts once."""
    with Supervisor() as supervisor:
        yield Federation(tmp_path, supervisor)


def test_there_is_a_transcript_of_each_version_that_has_to_keep_working() -> None:
    assert {path.name for path in transcripts()} >= SUPPORTED - {f"protocol-{PROTOCOL_MAJOR}.0.jsonl"}


@pytest.mark.parametrize("path", transcripts(), ids=lambda path: path.stem)
def test_a_node_of_an_earlier_version_takes_part_in_a_run(gateway: Federation, path: Path) -> None:
    assert take_part(gateway, read(path)) == "completed"


def test_a_newer_node_takes_part_in_a_run(gateway: Federation) -> None:
    """Fields and frames that this gateway does not know are left alone."""
    lines = read(transcripts()[-1])
    hello = pb.ConnectRequest.FromString(lines[0].frame)
    hello.hello.protocol_minor = PROTOCOL_MINOR + 1
    lines[0] = Line("node", "hello", hello.SerializeToString())
    assert take_part(gateway, lines, later=UNKNOWN_FIELD) == "completed"


def test_a_node_works_with_a_newer_gateway(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        federation = Federation(tmp_path, supervisor, gateway="tests.support.newer_gateway")
        federation.add_node("older", apps=[APP])
        federation.wait_for("older")
        run = federation.run(["older"], app=APP)
    assert run.read_card()["outcome"] == "completed"
