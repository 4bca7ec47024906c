"""The audit log in a file: going on after a restart, after a crash, beside another process."""

from __future__ import annotations

import json
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datalab.audit.chain import GENESIS, Head
from datalab.audit.log import AuditLog, AuditLogError
from datalab.audit.verification import verify
from datalab.errors import NotWritableError


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_an_entry_says_what_happened_and_commits_to_the_one_before(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    assert log.head() == Head(0, GENESIS)
    first = log.append("node.started", version="0.1")
    second = log.append("run.offered", run="run-1")

    entries = [json.loads(line) for line in lines(log.path)]
    assert [entry["event"] for entry in entries] == ["node.started", "run.offered"]
    assert entries[0]["details"] == {"version": "0.1"}
    assert [entry["previous"] for entry in entries] == [GENESIS, first.hash]
    assert log.head() == second == Head(2, entries[1]["hash"])
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    head = AuditLog(path).append("before", text="x" * 200_000)
    assert AuditLog(path).head() == head
    AuditLog(path).append("after")
    assert verify(path, [head]).intact


def test_two_that_write_to_the_same_file_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    logs = [AuditLog(path), AuditLog(path)]
    with ThreadPoolExecutor(4) as pool:
        heads = list(pool.map(lambda i: logs[i % 2].append("tick", i=i), range(40)))
    assert sorted(head.n for head in heads) == list(range(1, 41))
    assert verify(path, heads).intact


@pytest.mark.parametrize("kept", [1, 10, -2])
def test_a_line_torn_by_a_crash_is_put_aside_and_recorded(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    head = log.append("first")
    log.append("second")
    first, second = lines(path)
    torn = second[:kept]
    path.write_bytes(first + torn)

    AuditLog(path)
    assert verify(path, [head]).intact
    repaired = json.loads(lines(path)[-1])
    assert (repaired["n"], repaired["event"]) == (2, "audit.repaired")
    assert repaired["details"]["torn_bytes"] == len(torn)
    assert (tmp_path / "audit.jsonl.torn").read_bytes() == torn + b"\n"


def test_a_whole_last_entry_that_only_lost_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    head = AuditLog(path).append("first")
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert AuditLog(path).head() == head
    assert verify(path, [head]).intact


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_a_changed_last_entry_is_never_repaired(tmp_path: Path, newline: bytes) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).append("refused", by="policy")
    changed = path.read_bytes().replace(b"refused", b"allowed").rstrip(b"\n") + newline
    path.write_bytes(changed)
    with pytest.raises(AuditLogError, match="was changed"):
        AuditLog(path)
    assert path.read_bytes() == changed


def test_a_log_cut_off_while_in_use_is_noticed(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.append("first")
    log.append("second")
    log.path.write_bytes(lines(log.path)[0])
    with pytest.raises(AuditLogError, match="cut off"):
        log.append("third")


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotWritableError, match="Cannot write the audit log"):
        AuditLog(tmp_path / "missing" / "audit.jsonl")


def test_what_json_cannot_carry_is_not_written(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        log.append("loss", value=float("nan"))
    assert log.head().n == 0


def test_a_full_disk_leaves_no_half_entry(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.append("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 50, hard))
    try:
        with pytest.raises(NotWritableError, match="too large"):
            log.append("lost", why="x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    log.append("after")
    assert verify(log.path).intact
    assert [json.loads(line)["event"] for line in log.path.read_text().splitlines()] == ["before", "after"]
