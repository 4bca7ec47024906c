"""The clean copy goes through a pipe: whatever fails on either side, both come to an end, and the failure is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.curation.layout import Layout
from datalab.curation.records import Records
from datalab.curation.tabulate import Flat, piped
from datalab.errors import BadInputError

LONG = b"x" * 10_000_000
"""More than a pipe holds."""


def flat(clean: Path, *parts: bytes | Exception) -> Flat:
    """Return a file whose copy consists of these parts, up to an error."""

    def write() -> Records:
        with clean.open("wb") as target:
            for part in parts:
                if isinstance(part, Exception):
                    raise part
                target.write(part)
        return Records(clean=len(parts))

    return Flat(Layout(",", (), skip=0, lines=0), write)


@pytest.mark.parametrize("parts", [(), (b"a\n",), (b"a\n", LONG)])
def test_the_reader_gets_all_that_is_written(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    clean = tmp_path / "clean.csv"
    for _ in range(20):
        with piped(flat(clean, *parts), clean) as written:
            assert clean.read_bytes() == b"".join(parts)
        assert written.result().clean == len(parts)


@pytest.mark.parametrize("parts", [(), (b"a\n",), (LONG,)])
def test_the_writers_error_ends_the_copy_and_is_told(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    clean = tmp_path / "clean.csv"
    with piped(flat(clean, *parts, BadInputError("cut off")), clean) as written:
        assert clean.read_bytes() == b"".join(parts)
    with pytest.raises(BadInputError, match="cut off"):
        written.result()


@pytest.mark.parametrize("read", [None, 0, 1000])
@pytest.mark.parametrize("parts", [(), (b"a\n",), (LONG,)])
def test_a_reader_that_fails_leaves_no_writer_behind(
    tmp_path: Path, read: int | None, parts: tuple[bytes, ...]
) -> None:
    clean = tmp_path / "clean.csv"
    with pytest.raises(ZeroDivisionError), piped(flat(clean, *parts), clean) as written:  # noqa: PT012
        if read is not None:
            with clean.open("rb") as source:
                source.read(read)
        raise ZeroDivisionError
    assert written.done()


def test_a_pipe_that_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    clean = tmp_path / "clean.csv"
    for _ in range(2):
        with piped(flat(clean, b"a\n"), clean):
            assert clean.read_bytes() == b"a\n"
        assert clean.is_fifo()
