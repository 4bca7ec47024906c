"""Content-addressed buffers: appended in order, verified at the end, resumed after a cut."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import WireError
from federation.wire.buffers import BufferStore


@given(data=st.binary(max_size=2000), piece=st.integers(1, 700))
def test_pieces_add_up_to_the_buffer(tmp_path_factory: pytest.TempPathFactory, data: bytes, piece: int) -> None:
    store, sha256 = BufferStore(tmp_path_factory.mktemp("buffers")), hashlib.sha256(data).digest()
    for offset in range(0, max(len(data), 1), piece):
        assert store.size(sha256) is None
        store.append(sha256, offset, data[offset : offset + piece], len(data))
    assert store.size(sha256) == len(data)
    assert store.read(sha256, 0, len(data) + 1) == data


def test_a_transfer_cut_half_way_goes_on_in_a_new_process(tmp_path: Path) -> None:
    data = bytes(range(256))
    sha256 = hashlib.sha256(data).digest()
    BufferStore(tmp_path).append(sha256, 0, data[:100], 256)
    later = BufferStore(tmp_path)
    assert later.received(sha256) == 100
    later.append(sha256, 100, data[100:], 256)
    assert later.path(sha256).read_bytes() == data


def test_a_wrong_digest_is_found_and_nothing_is_kept(tmp_path: Path) -> None:
    store, sha256 = BufferStore(tmp_path), hashlib.sha256(b"what was named").digest()
    with pytest.raises(WireError, match="digest"):
        store.append(sha256, 0, b"something else", 14)
    assert store.received(sha256) == 0


@pytest.mark.parametrize(("offset", "data", "size"), [(1, b"x", 9), (0, b"xx", 1), (0, b"x", 1 << 60)])
def test_a_piece_that_does_not_fit_is_refused(tmp_path: Path, offset: int, data: bytes, size: int) -> None:
    with pytest.raises(WireError):
        BufferStore(tmp_path).append(b"\0" * 32, offset, data, size)


def test_adding_twice_stores_once(tmp_path: Path) -> None:
    store = BufferStore(tmp_path)
    assert store.add(b"model") == store.add(memoryview(b"model")) == hashlib.sha256(b"model").digest()
    assert [path.name for path in tmp_path.iterdir()] == [hashlib.sha256(b"model").hexdigest()]


def test_a_buffer_that_somebody_has_removed_is_stored_again(tmp_path: Path) -> None:
    store = BufferStore(tmp_path)
    store.path(store.add(b"model")).unlink()
    assert store.read(store.add(b"model"), 0, 10) == b"model"


def test_the_least_recently_used_goes_first_and_what_is_in_use_stays(tmp_path: Path) -> None:
    store = BufferStore(tmp_path, limit=250)
    oldest, in_use, used, newest = (store.add(bytes([number]) * 100) for number in range(4))
    assert store.size(used) == 100, "which counts as using it"
    store.trim(keep={in_use})
    assert [store.size(one) for one in (oldest, in_use, used, newest)] == [None, 100, 100, None]
    assert {path.name for path in tmp_path.iterdir()} == {in_use.hex(), used.hex()}


def test_one_buffer_in_use_may_be_larger_than_the_limit(tmp_path: Path) -> None:
    store = BufferStore(tmp_path, limit=10)
    large = store.add(b"x" * 100)
    store.trim(keep={large})
    assert store.size(large) == 100


def test_an_unlimited_store_keeps_all(tmp_path: Path) -> None:
    store = BufferStore(tmp_path)
    added = [store.add(bytes([number]) * 1000) for number in range(20)]
    store.trim()
    assert all(store.size(one) == 1000 for one in added)
