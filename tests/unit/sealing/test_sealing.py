"""Sealed streams and messages: whole, in order, of this key and context, or refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datalab.home import Home
from datalab.sealing import stream
from datalab.sealing.keys import KeyRing
from datalab.sealing.message import open_message, seal_message
from datalab.sealing.stream import PIECE_BYTES, TAG_BYTES, SealBrokenError, seal, unseal

KEY = bytes(range(32))
CUT = st.integers(1, 3 * PIECE_BYTES)


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@given(st.integers(0, 3), st.integers(-1, 1), CUT, CUT)
@example(0, 0, 1, 1)
def test_what_was_sealed_is_opened_however_it_arrives(pieces: int, more: int, cut: int, other: int) -> None:
    data = bytes(max(0, pieces * PIECE_BYTES + more))
    sealed = b"".join(seal(chunks(data, cut + PIECE_BYTES // 8), KEY, context=b"a"))
    assert len(sealed) == len(data) + TAG_BYTES * max(1, -(-len(data) // PIECE_BYTES))
    assert b"".join(unseal(chunks(sealed, other + PIECE_BYTES // 8), KEY, context=b"a")) == data


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Three pieces of 8 bytes and one of 4."""
    monkeypatch.setattr(stream, "PIECE_BYTES", 8)
    return list(seal([b"0123456789abcdefghijklmnopqr"], KEY, context=b"a"))


def test_pieces_cannot_be_changed_moved_doubled_or_left_out(sealed: list[bytes]) -> None:
    one, two, three, last = sealed
    assert b"".join(unseal(sealed, KEY, context=b"a")) == b"0123456789abcdefghijklmnopqr"
    flipped = bytes([one[0] ^ 1]) + one[1:]
    for tampered in (
        [flipped, two, three, last], [two, one, three, last], [one, one, two, three, last], [one, three, last],
        [one, two, three], [one, two], [one], [], [one, two, three, last, last], [one, two, three, last, b"x"],
        [one, two, three, last[:-1]],
    ):  # fmt: skip
        with pytest.raises(SealBrokenError):
            list(unseal([b"".join(tampered)], KEY, context=b"a"))
    for key, context in ((bytes(32), b"a"), (KEY, b"b")):
        with pytest.raises(SealBrokenError):
            list(unseal(sealed, key, context=context))


def test_a_long_stream_needs_little_memory() -> None:
    piece = bytes(1 << 16)
    tracemalloc.start()
    count = sum(len(one) for one in unseal(seal((piece for _ in range(640)), KEY, context=b""), KEY, context=b""))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 40 << 20
    assert peak < 10 << 20


@given(st.binary(max_size=100), st.binary(max_size=10))
def test_a_message_is_opened_with_its_key_and_context_only(data: bytes, context: bytes) -> None:
    sealed = seal_message(data, KEY, context=context)
    assert open_message(sealed, KEY, context=context) == data
    assert seal_message(data, KEY, context=context) != sealed
    for broken in (sealed[:-1], sealed[1:], b"", bytes(len(sealed))):
        with pytest.raises(SealBrokenError):
            open_message(broken, KEY, context=context)
    with pytest.raises(SealBrokenError):
        open_message(sealed, KEY, context=context + b"!")


def test_each_thing_has_a_key_that_only_its_owners_key_opens(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ring = KeyRing(home)
    key, wrapped = ring.new("gbsg", context=b"upload 1")
    other, _ = ring.new("gbsg", context=b"upload 2")
    assert (len(key), key == other) == (32, False)
    assert KeyRing(home).unwrap("gbsg", wrapped, context=b"upload 1") == key
    for owner, context in (("erasmus", b"upload 1"), ("gbsg", b"upload 2")):
        with pytest.raises(SealBrokenError):
            ring.unwrap(owner, wrapped, context=context)
    (tmp_path / "secrets" / "holders" / "gbsg").unlink()  # all of this holder's things are gone with it
    with pytest.raises(SealBrokenError):
        ring.unwrap("gbsg", wrapped, context=b"upload 1")
    assert not (tmp_path / "secrets" / "holders" / "gbsg").exists()
