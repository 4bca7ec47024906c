"""What a stranger wrote is read in a process of its own, which ends alone."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from datalab.confined import read_apart

CHILD = "tests.support.stranger"


def test_an_answer_comes_back_and_no_secret_goes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_SECRET", "of the lab")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert read_apart(CHILD, ["answer"], b"asked", seconds=60) == b"asked,LC_ALL"


@pytest.mark.parametrize("what", ["crash", "memory", "forever", "start", "library"])
def test_what_goes_wrong_there_ends_there(what: str) -> None:
    assert read_apart(CHILD, [what], seconds=60) is None


def test_it_reaches_no_socket_and_writes_no_large_file(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        assert read_apart(CHILD, ["connect"], str(server.getsockname()[1]).encode(), seconds=60) is None
        with pytest.raises(TimeoutError):
            server.accept()
    assert read_apart(CHILD, ["write"], str(tmp_path / "large").encode(), seconds=60) is None
    assert not (tmp_path / "large").exists() or (tmp_path / "large").stat().st_size <= 1000


def test_one_that_waits_is_ended_in_time_and_when_the_lab_stops() -> None:
    begun = time.monotonic()
    assert read_apart(CHILD, ["sleep"], seconds=2) is None
    stopped = threading.Event()
    stopped.set()
    assert read_apart(CHILD, ["sleep"], seconds=600, stopped=stopped) is None
    assert time.monotonic() - begun < 60
