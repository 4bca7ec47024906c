"""Whoever changes, removes, swaps or cuts off entries is found out."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from datalab.audit.chain import GENESIS, Head
from datalab.audit.entry import encode_entry, next_entry
from datalab.audit.log import AuditLogError
from datalab.audit.verification import Verification, verify
from datalab.errors import BadInputError, NotFoundError
from federation.commands.audit import verify as verify_command

DETAILS = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    max_size=3,
)
CHAINS = st.lists(DETAILS, min_size=2, max_size=8)
PER_EXAMPLE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def chain(bodies: list[dict[str, object]]) -> tuple[list[bytes], Head]:
    head, lines = Head(), []
    for details in bodies:
        entry = next_entry(head, "event", details)
        lines.append(encode_entry(entry) + b"\n")
        head = entry.head
    return lines, head


def check(folder: Path, lines: list[bytes], *heads: Head) -> Verification:
    path = folder / "audit.jsonl"
    path.write_bytes(b"".join(lines))
    return verify(path, heads)


@PER_EXAMPLE
@given(CHAINS)
def test_what_was_written_is_intact(tmp_path: Path, bodies: list[dict[str, object]]) -> None:
    lines, head = chain(bodies)
    assert check(tmp_path, lines, head) == Verification(tmp_path / "audit.jsonl", head, ())


@PER_EXAMPLE
@given(CHAINS, st.data())
def test_any_changed_byte_is_found(tmp_path: Path, bodies: list[dict[str, object]], data: st.DataObject) -> None:
    lines, head = chain(bodies)
    content = bytearray(b"".join(lines))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    assert not check(tmp_path, [bytes(content)], head).intact


@PER_EXAMPLE
@given(CHAINS, st.data())
def test_any_removed_entry_is_found(tmp_path: Path, bodies: list[dict[str, object]], data: st.DataObject) -> None:
    lines, head = chain(bodies)
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    assert not check(tmp_path, lines, head).intact


@PER_EXAMPLE
@given(CHAINS, st.data())
def test_any_two_swapped_entries_are_found(
    tmp_path: Path, bodies: list[dict[str, object]], data: st.DataObject
) -> None:
    lines, _ = chain(bodies)
    one, other = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    assume(one != other)
    lines[one], lines[other] = lines[other], lines[one]
    assert not check(tmp_path, lines).intact


@PER_EXAMPLE
@given(CHAINS, st.data())
def test_a_cut_off_end_is_found_by_whoever_kept_the_head(
    tmp_path: Path, bodies: list[dict[str, object]], data: st.DataObject
) -> None:
    lines, head = chain(bodies)
    kept = lines[: data.draw(st.integers(0, len(lines) - 1))]
    assert check(tmp_path, kept).intact, "the chain alone cannot show it"
    found = check(tmp_path, kept, head)
    assert [problem.what for problem in found.problems] == [
        f"is the last, but an entry {head.n} was known: the log was cut off"
    ]


def test_a_log_written_anew_is_found_by_whoever_kept_a_head(tmp_path: Path) -> None:
    lines, head = chain([{"rows": 5}, {}])
    anew, _ = chain([{"rows": 500}, {}, {}])
    assert check(tmp_path, anew).intact
    (problem,) = check(tmp_path, anew, head).problems
    assert problem.line == 2
    assert "written anew" in problem.what
    assert lines != anew


def test_the_first_problem_says_where_and_what(tmp_path: Path) -> None:
    lines, _ = chain([{}, {"by": "policy"}, {}, {}])
    changed = check(tmp_path, [lines[0], lines[1].replace(b"policy", b"nobody"), *lines[2:]])
    assert [(one.line, one.what) for one in changed.problems] == [(2, "was changed: its hash does not fit its content")]
    missing = check(tmp_path, [lines[0], *lines[2:]])
    assert [(one.line, one.what) for one in missing.problems] == [
        (2, "is entry 3 and should be 2: entries are missing")
    ]


@pytest.mark.parametrize("line", [b"[]\n", b"{}\n", b"\xff\n", b"[" * 100_000 + b"\n", b"\n", b'{"n":NaN}\n'])
def test_foreign_lines_are_problems_and_not_crashes(tmp_path: Path, line: bytes) -> None:
    assert [one.what for one in check(tmp_path, [line]).problems] == ["is not an audit entry"]


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        verify(tmp_path / "audit.jsonl")


class TestCommand:
    """``datalab audit verify``."""

    def test_intact_logs_get_a_line_each(self, tmp_path: Path) -> None:
        lines, head = chain([{}, {}])
        path = check(tmp_path, lines).path
        result = CliRunner().invoke(verify_command, [str(path), "--head", str(head)])
        assert result.exit_code == 0
        assert result.output == f"{path}: intact, 2 entries, head 2:{head.hash}\n"

    def test_a_broken_log_is_an_error(self, tmp_path: Path) -> None:
        lines, _ = chain([{}, {}])
        path = check(tmp_path, lines[1:]).path
        result = CliRunner().invoke(verify_command, [str(path)])
        assert "BROKEN, line 1 is entry 2 and should be 1: entries are missing" in result.output
        assert isinstance(result.exception, AuditLogError)

    def test_a_head_of_another_form_is_an_error(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(verify_command, [str(tmp_path / "x"), "--head", GENESIS])
        assert isinstance(result.exception, BadInputError)

    def test_a_head_belongs_to_one_file(self) -> None:
        assert CliRunner().invoke(verify_command, ["a", "b", "--head", f"0:{GENESIS}"]).exit_code == 2
