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


def left(folder: Path, data: bytes, kind: str) -> tuple[Path, bytes]:
    """What foreign code left behind under a buffer's name."""
    sha256 = hashlib.sha256(data).digest()
    path = folder / sha256.hex()
    match kind:
        case "file":
            path.write_bytes(data)
        case "link":
            (folder / "secret").write_bytes(data)
            path.symlink_to(folder / "secret")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "other bytes":
            path.write_bytes(data + b"!")
    return path, sha256


def test_what_an_app_left_is_moved_out_of_its_folder(tmp_path: Path) -> None:
    store = BufferStore(tmp_path / "store")
    path, sha256 = left(tmp_path, b"model", "file")
    store.adopt(path, sha256, 5)
    assert store.read(sha256, 0, 10) == b"model"
    assert not path.exists()


def test_a_file_that_is_larger_than_it_was_named_is_left_alone(tmp_path: Path) -> None:
    """Holes in it would be written as zeros."""
    store = BufferStore(tmp_path / "store")
    path = tmp_path / ("ab" * 32)
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(WireError, match="size"):
        store.adopt(path, b"\xab" * 32, 1 << 20)
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "other bytes", "nothing"])
def test_anything_but_a_plain_file_with_its_digest_is_left_alone(tmp_path: Path, kind: str) -> None:
    store = BufferStore(tmp_path / "store")
    path, sha256 = left(tmp_path, b"model", kind)
    with pytest.raises(WireError):
        store.adopt(path, sha256, 5)
    assert store.size(sha256) is None
    assert list(store.folder.iterdir()) == []


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
