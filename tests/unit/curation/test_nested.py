"""Nested sources: paths, records of a JSON file in bounded memory, Parquet, and what a contract may say of them."""

from __future__ import annotations

import contextlib
import csv
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalab.curation import documents
from datalab.curation.contract import load_contract
from datalab.curation.documents import MAX_DEPTH, MAX_RECORD, Record, elements, lines
from datalab.curation.engine import curate
from datalab.curation.paths import MisplacedError, PathError, parse_path, value_at
from datalab.curation.source import open_source
from datalab.errors import BadInputError

RECORD = {
    "name": [{"family": "Doe", "given": ["A", "B"]}],
    "code": {"coding": [{"system": "x", "code": "1"}, {"system": "http://loinc.org", "code": "2"}]},
    "parts": [{"code": {"id": "s"}, "value": "107"}, {"code": {"id": "d"}, "value": "60"}],
    "odd key.": True,
    "nothing": None,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name[0].family", "Doe"),
        ("name[0].given[1]", "B"),
        ("name[1].given[0]", None),
        ("gone.on[0].here", None),
        ('code.coding[system="http://loinc.org"].code', "2"),
        ('code.coding[system="other"].code', None),
        ('parts[code.id="d"].value', "60"),
        ('"odd key."', "true"),
        ("nothing.at.all", None),
    ],
)
def test_a_path_finds_a_value(path: str, value: str | None) -> None:
    assert value_at(RECORD, parse_path(path)) == value


@pytest.mark.parametrize("path", ["name", "name.family", "code[0]", 'nothing[0]."odd key."[0]', "name[0].family.x"])
def test_what_has_another_structure_is_told_and_not_guessed(path: str) -> None:
    if path.startswith("nothing"):
        assert value_at(RECORD, parse_path(path)) is None
        return
    with pytest.raises(MisplacedError):
        value_at(RECORD, parse_path(path))


@pytest.mark.parametrize(
    "path",
    ["", ".", "a.", "a[", "a[]", "a[b]", "a[b=c]", 'a[b="c"', "a b", "a..b", "a[-1]", "$.a", "a()", ".".join("a" * 21)],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        parse_path(path)


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    with contextlib.suppress(PathError):
        parse_path(text)


def read(folder: Path, text: str | bytes, *, key: str | None = None) -> list[Record]:
    raw = folder / "raw.json"
    raw.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_source(raw) as source:
        return list(lines(source, raw.name) if key is None else elements(source, raw.name, key))


def test_a_broken_line_costs_itself(tmp_path: Path) -> None:
    deep = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    found = read(tmp_path, f'{{"a": 1.50}}\r\n\n{{"a": NaN}}\n{deep}\n{{"a": "x\n"}}\n{{"a": 1e999}}')
    assert [(one.line, one.fault) for one in found] == [
        (1, ""), (3, "json"), (4, "nesting"), (5, "json"), (6, "json"), (7, "")
    ]  # fmt: skip
    assert [one.content for one in found if not one.fault] == [{"a": "1.50"}, {"a": "1e999"}]  # as it is written


def test_a_text_that_is_never_closed_takes_no_time_to_speak_of(tmp_path: Path) -> None:
    began = time.process_time()
    (found,) = read(tmp_path, "[" + "[]," * MAX_DEPTH + '"' + '\\"' * 100_000)
    assert found.fault == "json"
    assert time.process_time() - began < 20  # it took minutes


def test_the_elements_of_a_document_have_their_lines(tmp_path: Path) -> None:
    text = '\ufeff{"x": {"entry": [1]},\n "entry": [ {"a": "b\\n"},\n\n  7, [true]\n], "after": null}\n'
    assert [(one.line, one.content) for one in read(tmp_path, text, key="entry")] == [
        (2, {"a": "b\n"}), (4, "7"), (4, [True])
    ]  # fmt: skip
    assert [one.content for one in read(tmp_path, "[]", key="")] == []


def _below(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4)


@settings(max_examples=40)
@given(value=st.recursive(st.none() | st.booleans() | st.text(), _below, max_leaves=12))
def test_any_document_in_pieces_of_any_size_is_read_as_a_whole_one(pieces: Path, value: Any) -> None:
    piece = documents._PIECE
    for documents._PIECE in (1, 7, 1 << 18):
        assert [one.content for one in read(pieces, json.dumps([value, value], indent=1), key="")] == [value, value]
    documents._PIECE = piece


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pieces")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"entry": [{"a": 1}, {"a": ', "cut off"),
        ('{"entry": [{"a": 1} {"a": 2}]}', "not valid JSON"),
        ('{"other": []}', "no list entry"),
        ('{"entry": {"a": 1}}', "do not stand in a list"),
        ('{"entry": []} x', "follows the end"),
        ("[" * 200_000, "not an object"),
        ('{"entry": [' + "[" * 200_000, "nested deeper|not valid"),
        ('{"entry": ["' + "x" * (MAX_RECORD + 1) + '"]}', "1 MiB"),
        ('{"entry": ["' + "x" * (4 * MAX_RECORD), "1 MiB"),
    ],
)
def test_a_document_that_is_broken_is_refused_as_a_whole(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        read(tmp_path, text, key="entry")


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="1 MiB"):
        read(tmp_path, b'{"a": "' + b"x" * (3 * MAX_RECORD))


NESTED = """\
apiVersion: v3.2.0
kind: DataContract
id: nested
version: 1.0.0
status: active
schema:
  - name: export
    customProperties:
      - {property: datalab.format, value: json}
    properties:
      - name: id
        logicalType: integer
        required: true
      - name: city
        logicalType: string
        customProperties:
          - {property: datalab.path, value: "address.city"}
  - name: harmonised
    properties:
      - {name: id, logicalType: integer, required: true, transformLogic: id}
      - {name: city, logicalType: string, transformLogic: city}
"""


def contract_of(folder: Path, text: str = NESTED) -> Path:
    path = folder / "nested.odcs.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def rejects(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "rejects.csv").open(encoding="utf-8", newline="") as file:
        return [tuple(row.values())[1:] for row in csv.DictReader(file)]


def test_rejects_of_nested_records_say_line_record_and_column(tmp_path: Path) -> None:
    raw = tmp_path / "raw.ndjson"
    raw.write_bytes(
        b'{"id": 1, "address": {"city": "Graz, \\"A\\"\\nline"}}\n\n{"id": "x"}\n{"id": 3, "address": "Graz"}\n7\n'
        b'{"id": 4, "address": {"city": "\\ud800"}}\n{"id": 5, "address": {"city": "\xff"}}\n{"id": 6}\n{"id": null}\n'
    )
    report = curate(load_contract(contract_of(tmp_path)), raw, tmp_path / "out")
    assert (report.rows_in, report.rows, report.rejected_rows) == (8, 2, 6)
    assert rejects(tmp_path / "out") == [
        ("3", "2", "id", "type", "text"),
        ("4", "3", "city", "structure", ""),
        ("5", "4", "", "structure", ""),
        ("6", "5", "city", "encoding", ""),
        ("7", "6", "city", "encoding", ""),
        ("9", "8", "id", "required", "empty"),
    ]
    rows = duckdb.read_parquet(str(tmp_path / "out" / "data.parquet")).fetchall()
    assert rows == [(1, 'Graz, "A"\nline'), (6, None)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("address.city", "address..city", "is not a path"),
        ("value: json", "value: csv", "the file is flat"),
        ("value: json", "value: fhir", "resourceType"),
        ("value: json}", "value: json}\n      - {property: datalab.delimiter, value: ;}", "says nothing of a file"),
        ("value: json}", "value: json}\n      - {property: datalab.colour, value: red}", r"not a property.*line 10"),
        ("value: json", "value: xml", "datalab.format"),
    ],
)
def test_what_does_not_go_together_is_an_error_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as refused:
        load_contract(contract_of(tmp_path, NESTED.replace(old, new)))
    assert "nested.odcs.yaml, line " in str(refused.value)


def test_a_long_file_of_lines_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    raw = tmp_path / "raw.ndjson"
    with raw.open("w") as file:
        file.writelines(f'{{"id": {number}, "address": {{"city": "{"x" * 400}"}}}}\n' for number in range(20_000))
    assert raw.stat().st_size > 8_000_000
    with open_source(raw) as source:
        tracemalloc.start()
        found = sum(1 for _ in lines(source, raw.name))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found == 20_000
    assert peak < 4_000_000


FLAT = NESTED.replace("value: json", "value: parquet").replace(
    """        customProperties:
          - {property: datalab.path, value: "address.city"}
""",
    "",
)


def test_parquet_is_an_export_like_any_other(tmp_path: Path) -> None:
    raw = tmp_path / "raw.parquet"
    duckdb.sql(
        "SELECT * FROM (VALUES (1, 'Graz'), (NULL, 'x'), (3, 'a' || chr(0)), (4, 'Wien, \"' || chr(10))) t(id, city)"
    ).write_parquet(str(raw))
    report = curate(load_contract(contract_of(tmp_path, FLAT)), raw, tmp_path / "out")
    assert (report.rows_in, report.rows, report.rejected_rows) == (4, 2, 2)
    assert rejects(tmp_path / "out") == [("2", "2", "id", "required", "empty"), ("3", "3", "", "encoding", "")]
    assert duckdb.read_parquet(str(tmp_path / "out" / "data.parquet")).fetchall() == [(1, "Graz"), (4, 'Wien, "\n')]
    assert report.raw_sha256 is not None


def test_parquet_that_lies_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw.parquet"
    duckdb.sql("SELECT range AS id, 'city ' || range AS city FROM range(5000)").write_parquet(str(raw))
    whole = raw.read_bytes()
    contract = load_contract(contract_of(tmp_path, FLAT))
    footer = int.from_bytes(whole[-8:-4], "little")
    lies = {
        "cut off": whole[: len(whole) // 2],
        "footer of another length": whole[:-8] + (footer * 2).to_bytes(4, "little") + b"PAR1",
        "endless footer": whole[:-8] + b"\xff\xff\xff\x7f" + b"PAR1",
        "spoilt pages": whole[:4] + bytes(200) + whole[204:],
        "no Parquet": b"id,city\n1,x\n",
    }
    for name, data in lies.items():
        raw.write_bytes(data)
        with pytest.raises(BadInputError, match="cannot be read as Parquet"):
            curate(contract, raw, tmp_path / "out")
        assert not (tmp_path / "out" / "data.parquet").exists(), name


def test_parquet_of_lists_is_refused_by_column(tmp_path: Path) -> None:
    raw = tmp_path / "raw.parquet"
    duckdb.sql("SELECT 1 AS id, ['a'] AS city").write_parquet(str(raw))
    with pytest.raises(BadInputError, match="column city holds lists"):
        curate(load_contract(contract_of(tmp_path, FLAT)), raw, tmp_path / "out")
