"""A first contract for nested records and for Parquet, and what of them must stay with the holder."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from datalab.curation.contract import load_contract
from datalab.curation.engine import curate
from datalab.curation.flatten import _leaves, infer_any
from datalab.curation.infer import Inference
from datalab.curation.proposal import contract_text
from datalab.errors import BadInputError
from tests.golden.curated import SOURCES


def look(folder: Path, path: Path, *, resource: str | None = None, most: int | None = None) -> Inference:
    (folder / "work").mkdir()
    return infer_any(path, folder / "work", resource=resource, most=most)


def dropped(found: Inference) -> set[str]:
    return {column.header for column in found.columns if column.identifier}


def test_a_bundle_is_looked_at_by_its_resources(tmp_path: Path) -> None:
    found = look(tmp_path, SOURCES / "fhir-bundle.json", resource="Patient")
    assert (found.format, found.resource_type, found.records) == ("fhir", "Patient", 6)
    headers = {column.header for column in found.columns}
    assert {"gender", "birthDate", "name[0].family"} <= headers
    assert headers.isdisjoint({"name.family", "resourceType"})  # most names stand in lists
    assert {"id", "name[0].family", "telecom[0].value", "address[0].line[0]", "identifier[0].value"} <= dropped(found)


def test_the_contract_that_is_found_reads_the_file(tmp_path: Path) -> None:
    found = look(tmp_path, SOURCES / "dicom-headers.json")
    assert {"00100010.Value[0].Alphabetic", "00100020.Value[0]", "00080018.Value[0]"} <= dropped(found)
    assert not [one.header for one in found.columns if one.header.endswith(".vr") or one.header.startswith("7FE0")]
    path = tmp_path / "found.odcs.yaml"
    path.write_text(contract_text(found, contract_id="found", version="1.0.0", title="Found"), encoding="utf-8")
    report = curate(load_contract(path), SOURCES / "dicom-headers.json", tmp_path / "out")
    assert (report.rows_in, report.rows) == (7, 7)


def test_a_long_key_above_many_fills_no_memory() -> None:
    record = {"a": {"b" * 400_000: {str(number): "1" for number in range(2000)}, "c": "2"}}
    assert _leaves(record) == {"a.c": "2"}


def test_parquet_is_looked_at_like_csv(tmp_path: Path) -> None:
    duckdb.sql("SELECT range AS patient_id, range % 2 AS ill, DATE '2020-01-01' AS day FROM range(50)").write_parquet(
        str(tmp_path / "raw.parquet")
    )
    found = look(tmp_path, tmp_path / "raw.parquet")
    assert [(one.name, one.type, one.identifier) for one in found.columns] == [
        ("patient_id", "integer", True),
        ("ill", "integer", False),
        ("day", "date", False),
    ]
    path = tmp_path / "found.odcs.yaml"
    path.write_text(contract_text(found, contract_id="found", version="1.0.0", title="Found"), encoding="utf-8")
    assert curate(load_contract(path), tmp_path / "raw.parquet", tmp_path / "out").rows == 50


@pytest.mark.parametrize("text", ["[]", "[1, 2]", '{"a": {}}\n'])
def test_a_file_without_a_value_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "raw.json").write_text(text)
    with pytest.raises(BadInputError, match="no record with a value"):
        look(tmp_path, tmp_path / "raw.json")


@pytest.mark.parametrize("ending", ["ndjson", "parquet"])
@pytest.mark.parametrize(("most", "records"), [(None, 50), (80, 50), (20, 20)])
def test_no_more_is_looked_at_than_is_asked_for(tmp_path: Path, ending: str, most: int | None, records: int) -> None:
    path = tmp_path / f"raw.{ending}"
    if ending == "parquet":
        duckdb.sql("SELECT range AS n, repeat('x', 5000) AS long FROM range(50)").write_parquet(str(path))
    else:
        path.write_text("".join(json.dumps({"n": n, "long": "x" * 5000}) + "\n" for n in range(50)), encoding="utf-8")
    found = look(tmp_path, path, most=most)
    assert (found.records, found.whole) == (records, records == 50)
    with (tmp_path / "work" / "flat-0.csv").open(encoding="utf-8") as flat:
        assert max(map(len, flat)) == len("49,\n") + (5000 if most is None else 300)


def test_parquet_with_too_many_columns_is_refused(tmp_path: Path) -> None:
    columns = ", ".join(f"{n} AS c{n}" for n in range(600))
    duckdb.sql(f"SELECT {columns}").write_parquet(str(tmp_path / "raw.parquet"))
    with pytest.raises(BadInputError, match="600 columns"):
        look(tmp_path, tmp_path / "raw.parquet")
