"""Receiving buffers: a few pieces ahead, nothing twice, nothing unasked, and on from where a cut left off."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.wire.buffers import BufferStore
from federation.wire.exchange import Inbox
from federation.wire.protocol import CHUNK_BYTES, FETCH_WINDOW, TRANSFERS

DATA = bytes(range(256)) * (CHUNK_BYTES // 256) * 6 + b"the end"
SHA256 = hashlib.sha256(DATA).digest()


class Peer:
    """Answers fetches from ``data``; ``stop_after`` answers it says no more."""

    def __init__(self, data: bytes = DATA, *, stop_after: int = 1000, name: str = "") -> None:
        self.name = name
        self.data = data
        self.asked: list[int] = []
        self.waiting = self.most_waiting = 0
        self._left = stop_after
        self.inbox: Inbox

    async def send(self, fetch: pb.Fetch) -> None:
        self.asked.append(fetch.offset)
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        if self._left > 0:
            self._left -= 1
            asyncio.get_running_loop().call_later(0.001, self._answer, fetch)

    def _answer(self, fetch: pb.Fetch) -> None:
        self.waiting -= 1
        piece = self.data[fetch.offset : fetch.offset + fetch.length]
        chunk = pb.Chunk(sha256=fetch.sha256, offset=fetch.offset, data=piece, size=len(self.data))
        self.inbox.accept(chunk, self.name)


def connect(folder: Path, peer: Peer) -> Inbox:
    peer.inbox = Inbox(BufferStore(folder), "run-1")
    return peer.inbox


async def test_a_buffer_arrives_whole_with_few_pieces_outstanding(tmp_path: Path) -> None:
    peer = Peer()
    await connect(tmp_path, peer).ensure(SHA256, peer.send)
    assert BufferStore(tmp_path).path(SHA256).read_bytes() == DATA
    assert peer.most_waiting <= FETCH_WINDOW


async def test_what_is_here_is_not_asked_for_again(tmp_path: Path) -> None:
    peer = Peer()
    inbox = connect(tmp_path, peer)
    await asyncio.gather(*(inbox.ensure(SHA256, peer.send) for _ in range(5)))
    await inbox.ensure(SHA256, peer.send)
    assert sorted(set(peer.asked)) == sorted(peer.asked)


async def test_a_cut_transfer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    peer = Peer(stop_after=3)
    inbox = connect(tmp_path, peer)
    fetching = asyncio.create_task(inbox.ensure(SHA256, peer.send))
    await asyncio.sleep(0.1)
    inbox.cut()
    with pytest.raises(WireError, match="lost"):
        await fetching
    again = Peer()
    await connect(tmp_path, again).ensure(SHA256, again.send)
    assert min(again.asked) == 3 * CHUNK_BYTES
    assert BufferStore(tmp_path).path(SHA256).read_bytes() == DATA


async def test_a_relay_reads_pieces_before_the_end_is_here(tmp_path: Path) -> None:
    peer = Peer(stop_after=2)
    inbox = connect(tmp_path, peer)
    size = await asyncio.wait_for(inbox.available(SHA256, CHUNK_BYTES + 100, peer.send), 5)
    assert size == len(DATA)
    assert BufferStore(tmp_path).read(SHA256, CHUNK_BYTES, 100) == DATA[CHUNK_BYTES : CHUNK_BYTES + 100]
    inbox.cut()


async def test_a_peer_without_the_buffer_is_an_error(tmp_path: Path) -> None:
    inbox = Inbox(BufferStore(tmp_path), "run-1")

    async def send(fetch: pb.Fetch) -> None:
        missing = pb.Chunk(sha256=fetch.sha256, offset=fetch.offset, missing=True)
        asyncio.get_running_loop().call_soon(inbox.accept, missing)

    with pytest.raises(WireError, match="does not have"):
        await inbox.ensure(SHA256, send)


async def test_a_lying_peer_is_found_out(tmp_path: Path) -> None:
    peer = Peer(DATA[:-1] + b"!")
    with pytest.raises(WireError, match="digest"):
        await connect(tmp_path, peer).ensure(SHA256, peer.send)


async def test_a_piece_that_nobody_waits_for_any_more_is_dropped(tmp_path: Path) -> None:
    """Answers to pieces asked ahead may still come after a transfer has failed; they are nobody's fault."""
    inbox = Inbox(BufferStore(tmp_path), "run-1")
    asked: list[pb.Fetch] = []

    async def send(fetch: pb.Fetch) -> None:
        asked.append(fetch)
        missing = len(asked) == 2
        piece = b"" if missing else DATA[fetch.offset : fetch.offset + fetch.length]
        chunk = pb.Chunk(sha256=SHA256, offset=fetch.offset, data=piece, size=len(DATA), missing=missing)
        asyncio.get_running_loop().call_later(0.001 * len(asked), inbox.accept, chunk)

    with pytest.raises(WireError, match="does not have"):
        await inbox.ensure(SHA256, send)
    await asyncio.sleep(0.02)
    assert len(asked) > 2
    assert BufferStore(tmp_path).received(SHA256) == CHUNK_BYTES


async def test_what_comes_from_a_peer_that_is_gone_is_given_up_and_the_rest_goes_on(tmp_path: Path) -> None:
    silent, peer = Peer(stop_after=0), Peer(name="here")
    inbox = connect(tmp_path, peer)
    other = hashlib.sha256(b"other").digest()
    hanging = asyncio.create_task(inbox.ensure(other, silent.send, "gone"))
    going = asyncio.create_task(inbox.ensure(SHA256, peer.send, "here"))
    await asyncio.sleep(0)
    inbox.cut("gone")
    with pytest.raises(WireError, match="lost"):
        await hanging
    await going


async def test_an_empty_buffer_is_a_buffer(tmp_path: Path) -> None:
    peer = Peer(b"")
    sha256 = hashlib.sha256(b"").digest()
    await connect(tmp_path, peer).ensure(sha256, peer.send)
    assert BufferStore(tmp_path).size(sha256) == 0


async def test_a_source_that_stalls_is_given_up_and_holds_no_other_up(tmp_path: Path) -> None:
    silent, peer = Peer(stop_after=0), Peer(name="quick")
    inbox = peer.inbox = Inbox(BufferStore(tmp_path), "run-1", stall=0.3)
    stalling = [asyncio.create_task(inbox.ensure(bytes([number]) * 32, silent.send, "slow")) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.wait_for(inbox.ensure(SHA256, peer.send, "quick"), 5)
    assert len(silent.asked) == TRANSFERS, "one source has few transfers under way"
    with pytest.raises(WireError, match="stalled"):
        await stalling[0]
    inbox.cut("slow")
    ended = await asyncio.gather(*stalling, return_exceptions=True)
    assert all(isinstance(one, WireError) for one in ended)


async def test_many_buffers_are_fetched_side_by_side(tmp_path: Path) -> None:
    buffers = {hashlib.sha256(data).digest(): data for data in (bytes([number]) * 1000 for number in range(10))}
    inbox = Inbox(BufferStore(tmp_path), "run-1")
    waiting = most = 0

    async def send(fetch: pb.Fetch) -> None:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)

        def answer() -> None:
            nonlocal waiting
            waiting -= 1
            data = buffers[fetch.sha256]
            inbox.accept(pb.Chunk(sha256=fetch.sha256, offset=0, data=data, size=len(data)))

        asyncio.get_running_loop().call_later(0.001, answer)

    await inbox.ensure_all(dict.fromkeys(buffers, 1000), send)
    assert all(BufferStore(tmp_path).size(one) == 1000 for one in buffers)
    assert most == TRANSFERS


async def test_a_piece_is_passed_on_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    peer = Peer(name="here")
    inbox = connect(tmp_path, peer)
    fetch = pb.Fetch(sha256=SHA256, offset=CHUNK_BYTES, length=CHUNK_BYTES)
    twice = [inbox.relay(fetch, peer.send, "here") for _ in range(2)]
    first, second = await asyncio.gather(*twice)
    assert first.data == second.data == DATA[CHUNK_BYTES : 2 * CHUNK_BYTES]
    assert peer.asked == [CHUNK_BYTES]
    assert BufferStore(tmp_path).received(SHA256) == 0


async def test_a_piece_that_is_passed_on_is_given_up_when_its_peer_is_gone(tmp_path: Path) -> None:
    silent = Peer(stop_after=0)
    inbox = connect(tmp_path, silent)
    waiting = asyncio.create_task(inbox.relay(pb.Fetch(sha256=SHA256, length=CHUNK_BYTES), silent.send, "gone"))
    await asyncio.sleep(0)
    inbox.cut("gone")
    with pytest.raises(WireError, match="lost"):
        await waiting


async def test_a_node_cannot_spoil_what_another_has_named_as_well(tmp_path: Path) -> None:
    """It is asked first, and sends other bytes: the other one is asked then, and its reply is good."""
    liar, honest = Peer(DATA[:-1] + b"!", name="liar"), Peer(name="honest")
    inbox = connect(tmp_path, honest)
    liar.inbox = inbox
    lied, told = await asyncio.gather(
        inbox.ensure(SHA256, liar.send, "liar"), inbox.ensure(SHA256, honest.send, "honest"), return_exceptions=True
    )
    assert isinstance(lied, WireError)
    assert told is None
    assert BufferStore(tmp_path).path(SHA256).read_bytes() == DATA


async def test_a_piece_from_somebody_who_was_not_asked_is_dropped(tmp_path: Path) -> None:
    peer = Peer(name="asked")
    inbox = connect(tmp_path, peer)
    getting = asyncio.create_task(inbox.ensure(SHA256, peer.send, "asked"))
    await asyncio.sleep(0)
    inbox.accept(pb.Chunk(sha256=SHA256, offset=0, data=bytes(CHUNK_BYTES), size=len(DATA)), "stranger")
    await getting
    assert BufferStore(tmp_path).path(SHA256).read_bytes() == DATA


async def test_a_buffer_of_another_size_than_was_announced_is_refused_at_its_first_piece(tmp_path: Path) -> None:
    peer = Peer()
    with pytest.raises(WireError, match="size"):
        await connect(tmp_path, peer).ensure(SHA256, peer.send, size=1000)
    assert BufferStore(tmp_path).received(SHA256) == 0


async def test_what_a_crash_has_left_without_its_name_is_finished(tmp_path: Path) -> None:
    peer = Peer()
    inbox = connect(tmp_path, peer)
    tmp_path.joinpath(f"{SHA256.hex()}.part").write_bytes(DATA)
    await asyncio.wait_for(inbox.ensure(SHA256, peer.send, size=len(DATA)), 10)
    assert BufferStore(tmp_path).path(SHA256).read_bytes() == DATA
    assert not peer.asked
