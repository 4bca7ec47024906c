"""The records in the bytes of a CSV file: counted, located, and set apart where no reader could take them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalab.curation import records as module
from datalab.curation.records import Fault, Records, read_header, scan
from datalab.curation.source import _NOT_TEXT
from datalab.errors import BadInputError


def scan_bytes(data: bytes, *, fields: int = 2) -> tuple[Records, bytes]:
    with TemporaryDirectory() as folder:
        raw, clean = Path(folder) / "raw.csv", Path(folder) / "clean.csv"
        raw.write_bytes(data)
        return scan(raw, clean, delimiter=",", fields=fields), clean.read_bytes()


def lines(found: Records) -> list[int]:
    """Return the physical line of each row of the clean copy."""
    result = []
    for row in range(1, found.clean + 1):
        shift = [lines for first, _, lines in found.positions if first <= row][-1]
        result.append(row + shift)
    return result


@pytest.mark.parametrize(
    ("data", "clean", "at"),
    [
        (b"1,2\n3,4\n", b"1,2\n3,4\n", [1, 2]),
        (b"1,2\n3,4", b"1,2\n3,4\n", [1, 2]),
        (b"1,2\r\n3,4\r\n", b"1,2\n3,4\n", [1, 2]),
        (b"\xef\xbb\xbf1,2\n", b"1,2\n", [1]),
        (b'1,"a\nb"\n3,4\n', b'1,"a\nb"\n3,4\n', [1, 3]),
        (b'1,"a,""b"""\n3,""\n', b'1,"a,""b"""\n3,""\n', [1, 2]),
        (b"\n1,2\n\n\r\n3,4\n\n", b"1,2\n3,4\n", [2, 5]),
        (b"", b"", []),
        (b"\n\n", b"", []),
    ],
)
def test_readable_records_are_kept_and_located(data: bytes, clean: bytes, at: list[int]) -> None:
    found, copy = scan_bytes(data)
    assert (copy, lines(found), found.faults, found.total) == (clean, at, [], len(at))


@pytest.mark.parametrize(
    ("data", "clean", "faults"),
    [
        (b"1,2\n3\n4,5\n", b"1,2\n4,5\n", [Fault(2, 2, "field count")]),
        (b"1,2\n3,4,5\n", b"1,2\n", [Fault(2, 2, "field count")]),
        (b'1,2\n3,5" pipe\n4,5\n', b"1,2\n4,5\n", [Fault(2, 2, "quote")]),
        (b'1,2\n3,"open\n4,5\n6,"x"\n', b'1,2\n4,5\n6,"x"\n', [Fault(2, 2, "quote")]),
        (b'1,2\n3,"open\n4,5\n', b"1,2\n4,5\n", [Fault(2, 2, "quote")]),
        (b'1,2\n3,"open', b"1,2\n", [Fault(2, 2, "quote")]),
        (b'1,"a"b\n3,4\n', b"3,4\n", [Fault(1, 1, "quote")]),
        (b"1,a\rb\n3,4\n", b"3,4\n", [Fault(1, 1, "line end")]),
        (b"1,\xe9\n3,4\n", b"3,4\n", [Fault(1, 1, "encoding")]),
        (b"1,\x00\n3,4\n", b"3,4\n", [Fault(1, 1, "encoding")]),
        (b'1,"a\nb"\n\n3\n4,5\n', b'1,"a\nb"\n4,5\n', [Fault(2, 4, "field count")]),
    ],
)
def test_a_record_that_no_reader_could_take_is_set_apart(data: bytes, clean: bytes, faults: list[Fault]) -> None:
    found, copy = scan_bytes(data)
    assert (copy, found.faults) == (clean, faults)
    assert found.total == found.clean + len(faults)


FIELD = st.text(alphabet='ab,"\n é', max_size=6)


@given(rows=st.lists(st.tuples(FIELD, FIELD), max_size=12), window=st.integers(80, 200))
def test_it_agrees_with_a_csv_reader_whatever_the_window(rows: list[tuple[str, str]], window: int) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    data = text.getvalue().encode()
    reader = csv.reader(io.StringIO(text.getvalue(), newline=""))
    starts = []
    before = 0
    for _ in reader:
        starts.append(before + 1)
        before = reader.line_num
    with mock.patch.object(module, "WINDOW", window):
        found, copy = scan_bytes(data)
    assert (copy, found.total, found.faults, lines(found)) == (data, len(rows), [], starts)


@given(data=st.binary(max_size=60) | st.text(alphabet='1,"\n\r', max_size=60).map(str.encode))
def test_any_bytes_are_accounted_for(data: bytes) -> None:
    try:
        found, copy = scan_bytes(data)
    except BadInputError:
        assert data[:2] in {b"\x1f\x8b", *(magic[:2] for magic in _NOT_TEXT)}
        return
    assert found.total == found.clean + len(found.faults)
    assert len(list(csv.reader(io.StringIO(copy.decode(), newline="")))) == found.clean


@pytest.mark.parametrize(("head", "kind"), [(b"PAR1", "Parquet"), (b"PK\x03\x04", "zip"), (b"\xff\xfe1", "UTF-16")])
def test_what_is_not_plain_text_is_refused(head: bytes, kind: str) -> None:
    with pytest.raises(BadInputError, match=rf"The file is {kind}[^;]*; only CSV text"):
        scan_bytes(head + b"\n1,2\n")


def test_an_open_quote_in_a_long_file_costs_one_record() -> None:
    data = b'1,"open\n' + b"2,3\n" * 200_000
    found, _ = scan_bytes(data)
    assert (found.total, found.clean, found.faults) == (200_001, 200_000, [Fault(1, 1, "quote")])


def test_a_file_without_line_ends_is_refused() -> None:
    with pytest.raises(BadInputError, match="longer than 256 KiB"):
        scan_bytes(b"1," * 400_000)


def test_a_header_may_be_quoted_and_take_two_lines(tmp_path: Path) -> None:
    raw = tmp_path / "raw.csv"
    raw.write_bytes(b'\xef\xbb\xbf"Age\n(years)", Sex\n50,f\n')
    assert read_header(raw, ",") == (["Age\n(years)", "Sex"], 19, 2)
