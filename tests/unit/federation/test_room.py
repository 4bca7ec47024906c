"""What a node does on a full disk; a real one is filled by ``tests.chaos``."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from datalab.errors import NotWritableError
from federation.errors import WireError
from federation.node import room as module
from federation.node.room import ROOM_BYTES, FullError, Room


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that are free, each time that somebody looks; the last stays."""
    left = [0]

    def statvfs(_: Path) -> Any:
        return SimpleNamespace(f_frsize=1, f_bavail=left.pop(0) if len(left) > 1 else left[0])

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    return left


def test_what_waits_begins_when_there_is_room(tmp_path: Path, free: list[int]) -> None:
    free[:] = [0, ROOM_BYTES - 1, ROOM_BYTES]
    asyncio.run(Room(tmp_path).wait(60))
    assert free == [ROOM_BYTES]


def test_what_waits_for_too_long_is_refused(tmp_path: Path, free: list[int]) -> None:
    with pytest.raises(FullError, match="This node's disk is full"):
        asyncio.run(Room(tmp_path).wait(0.01))
    assert free == [0]


@pytest.mark.parametrize(
    ("error", "left", "ran_out"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ROOM_BYTES, True),
        (FullError(), ROOM_BYTES, True),
        (NotWritableError("Cannot write."), 0, True),
        (WireError("The peer does not have it."), 0, True),
        (WireError("The peer does not have it."), ROOM_BYTES, False),
        (OSError(errno.EIO, "Input/output error"), ROOM_BYTES, False),
    ],
)
def test_what_a_full_disk_is_to_blame_for(
    tmp_path: Path, free: list[int], error: Exception, left: int, *, ran_out: bool
) -> None:
    free[:] = [left]
    assert Room(tmp_path).ran_out(error) is ran_out
