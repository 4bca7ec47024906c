"""What foreign code leaves to be sent: read where it lies, plain files only, and removed once it is sent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.wire.outbox import Outbox
from federation.wire.pieces import PieceSender
from federation.wire.protocol import CHUNK_BYTES

LIMIT = 1000


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path, LIMIT, PieceSender(pb.ConnectRequest))
    yield made
    made.close()


def leave(folder: Path, data: bytes) -> bytes:
    sha256 = hashlib.sha256(data).digest()
    (folder / sha256.hex()).write_bytes(data)
    return sha256


def piece(outbox: Outbox, sha256: bytes, offset: int = 0) -> pb.Chunk:
    return pb.ConnectRequest.FromString(outbox.piece(pb.Fetch(sha256=sha256, offset=offset, length=CHUNK_BYTES))).chunk


def test_what_a_reply_names_is_sent_and_removed_when_the_run_goes_on(tmp_path: Path, outbox: Outbox) -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 128)
    sha256 = leave(tmp_path, data)
    outbox.name({sha256: len(data)})
    first = piece(outbox, sha256)
    outbox.drop_sent()
    assert first.data + piece(outbox, sha256, CHUNK_BYTES).data == data, "half of it was sent, so it stayed"
    outbox.drop_sent()
    assert piece(outbox, sha256).missing
    assert not list(tmp_path.iterdir())


def test_what_may_not_have_arrived_stays(tmp_path: Path, outbox: Outbox) -> None:
    sha256 = leave(tmp_path, b"model")
    outbox.name({sha256: 5})
    assert piece(outbox, sha256).data == b"model"
    outbox.cut()
    outbox.drop_sent()
    assert piece(outbox, sha256).data == b"model"


def test_what_is_named_again_stays(tmp_path: Path, outbox: Outbox) -> None:
    """A worker that has left it before does not write it again."""
    sha256 = leave(tmp_path, b"model")
    outbox.name({sha256: 5})
    piece(outbox, sha256)
    outbox.name({sha256: 5})
    outbox.drop_sent()
    assert piece(outbox, sha256).data == b"model"


def test_what_no_reply_has_named_is_not_to_be_had(tmp_path: Path, outbox: Outbox) -> None:
    assert piece(outbox, leave(tmp_path, b"not named")).missing


def test_what_nobody_fetches_is_bounded(tmp_path: Path, outbox: Outbox) -> None:
    oldest, newest = leave(tmp_path, b"a" * LIMIT), leave(tmp_path, b"b" * LIMIT)
    outbox.name({oldest: LIMIT})
    outbox.name({newest: LIMIT})
    assert [path.name for path in tmp_path.iterdir()] == [newest.hex()]


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "nothing"])
def test_only_a_plain_file_is_read(tmp_path: Path, outbox: Outbox, kind: str) -> None:
    sha256 = hashlib.sha256(b"model").digest()
    path = tmp_path / sha256.hex()
    match kind:
        case "link":
            path.symlink_to(tmp_path.parent)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(WireError, match="cannot be read"):
        outbox.name({sha256: 5})
    assert piece(outbox, sha256).missing


def test_a_link_that_takes_the_place_of_a_named_buffer_is_not_followed(tmp_path: Path, outbox: Outbox) -> None:
    sha256 = leave(tmp_path, b"model")
    outbox.name({sha256: 5})
    (tmp_path / "secret").write_bytes(b"sesam")
    (tmp_path / sha256.hex()).unlink()
    (tmp_path / sha256.hex()).symlink_to(tmp_path / "secret")
    assert piece(outbox, sha256).missing


def test_a_file_of_another_size_is_refused(tmp_path: Path, outbox: Outbox) -> None:
    with pytest.raises(WireError, match="size"):
        outbox.name({leave(tmp_path, b"model"): 6})
