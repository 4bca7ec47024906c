"""A journal holds what was written to it, whatever a crash has left of its end."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.journal import Journal, content_digest, task_digest
from federation.node.recorded import Recorded
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2
from federation.runner.journal import NotReplayableError, RunJournal

WRITES = st.lists(st.binary(max_size=300), max_size=8)
SHARED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)  # each writes to the disk


def task(number: int, **changes: str) -> pb.Task:
    made = pb.Task(task_id=f"{number:08d}", node="oslo", message_type="train", ttl=1.0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def reply(number: int) -> pb.Reply:
    return pb.Reply(task_id=f"{number:08d}", node="oslo", content=records_pb2.RecordDict())


@SHARED
@given(WRITES, st.data())
def test_a_torn_end_costs_what_was_torn_and_no_more(tmp_path: Path, written: list[bytes], data: st.DataObject) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    journal = Journal(path)
    places = [journal.append(one) for one in written]
    ends = [*places[1:], path.stat().st_size] if written else []
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = [one for one, end in zip(written, ends, strict=True) if end <= cut]
    again = Journal(path)
    assert [record for _, record in again.records()] == kept
    at = again.append(b"after")
    assert again.read(at) == b"after"
    assert [record for _, record in Journal(path).records()] == [*kept, b"after"]


@SHARED
@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.data())
def test_a_spoilt_byte_is_noticed(tmp_path: Path, written: list[bytes], data: st.DataObject) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    journal = Journal(path)
    for one in written:
        journal.append(one)
    spoilt = bytearray(path.read_bytes())
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(spoilt)
    found = [record for _, record in Journal(path).records()]
    assert len(found) < len(written)
    assert found == written[: len(found)]


def test_a_full_disk_leaves_no_half_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append(b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert journal.read(journal.append(b"after")) == b"after"
    assert [record for _, record in Journal(tmp_path / "journal").records()] == [b"before", b"after"]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_text("{}", encoding="utf-8")
    return path


def test_a_run_again_is_answered_as_the_first_time_until_it_reaches_the_present(tmp_path: Path, spec: Path) -> None:
    first = RunJournal(tmp_path / "journal", spec)
    first.begin([pb.Decision(node="oslo")])
    assert first.nodes(["bergen", "oslo"]) == ["bergen", "oslo"]
    assert first.push([task(1), task(2)]) == [task(1), task(2)]
    assert first.recorded() is None, "an empty look is not written down"
    assert first.recorded() is None
    first.answer([reply(2)], ["00000002"])
    assert first.nodes(["oslo"]) == ["oslo"]
    first.push([task(3)])
    first._journal.append(b"")  # what a crash may leave: no answer belongs to it
    first.close()

    again = RunJournal(tmp_path / "journal", spec)
    assert again.start is not None
    assert again.nodes(["elsewhere"]) == ["bergen", "oslo"]
    assert again.push([task(1), task(2)]) == [task(1)], "the second is answered"
    assert again.recorded() == []
    assert again.recorded() == [reply(2)]
    assert again.nodes(["elsewhere"]) == ["oslo"]
    assert again.push([task(3)]) == [task(3)]
    assert not again.replaying
    assert again.nodes(["bergen"]) == ["bergen"]
    assert again.recorded() is None


def test_replies_that_nobody_was_given_do_not_count(tmp_path: Path, spec: Path) -> None:
    first = RunJournal(tmp_path / "journal", spec)
    first.push([task(1)])
    first.recorded()
    first.answer([reply(1)], ["00000001"])
    first.close()
    whole = (tmp_path / "journal").read_bytes()
    last = [at for at, _ in Journal(tmp_path / "journal").records()][-1]
    (tmp_path / "journal").write_bytes(whole[:last])  # the reply, but no answer
    again = RunJournal(tmp_path / "journal", spec)
    assert again.push([task(1)]) == [task(1)]
    assert again.recorded() is None
    again.answer([reply(1)], ["00000001"])
    again.close()
    third = RunJournal(tmp_path / "journal", spec)
    third.push([task(1)])
    assert third.recorded() == [reply(1)]


@pytest.mark.parametrize("change", ["node", "message_type", "group_id"])
def test_an_app_that_does_something_else_than_before_is_told_which_message(
    tmp_path: Path, spec: Path, change: str
) -> None:
    first = RunJournal(tmp_path / "journal", spec)
    first.push([task(1), task(2)])
    first.close()
    again = RunJournal(tmp_path / "journal", spec)
    with pytest.raises(NotReplayableError, match="not replayable: message 2 is another") as error:
        again.push([task(1), task(2, **{change: "other"})])
    assert error.value.next_step


def test_a_journal_is_of_one_run(tmp_path: Path, spec: Path) -> None:
    first = RunJournal(tmp_path / "journal", spec)
    first.begin([])
    first.close()
    spec.write_text('{"lab_home": "/elsewhere"}', encoding="utf-8")
    RunJournal(tmp_path / "journal", spec).close()
    spec.write_text('{"seed": 1}', encoding="utf-8")
    with pytest.raises(NotReplayableError, match="other words"):
        RunJournal(tmp_path / "journal", spec)


def test_a_node_knows_what_it_has_answered_and_the_state_after_it(tmp_path: Path) -> None:
    state = records_pb2.RecordDict()
    state.entries.add(key="trained").metric_record.SetInParent()
    first = Recorded(tmp_path / "replies")
    assert first.reply(task(1)) is None
    first.add(task(1), reply(1), state)
    first.add(task(2), reply(2), None)
    first.close()
    again = Recorded(tmp_path / "replies")
    assert again.reply(task(1)) == reply(1)
    assert again.reply(task(2)) == reply(2)
    assert again.reply(task(3)) is None
    assert again.state == state
    assert task_digest(task(1), content_digest(task(1))) == task_digest(task(2), content_digest(task(2)))
