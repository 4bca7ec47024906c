"""Four hospitals write the same things in four ways; by their contracts, one table comes of it."""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import pytest

from datalab.curation.contract import load_contract
from datalab.curation.engine import curate
from datalab.errors import BadInputError

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: SITE
name: Site
version: 1.0.0
status: active
schema:
  - name: export
    customProperties: [{property: datalab.delimiter, value: ";"}, {property: datalab.decimal, value: "DECIMAL"}]
    properties:
      - name: glucose
        logicalType: number
        customProperties: [{property: datalab.unit, value: UNIT}]
      - {name: finding, logicalType: string}
  - name: harmonised
    properties:
      - name: glucose
        logicalType: number
        logicalTypeOptions: {minimum: 1, maximum: 50}
        customProperties:
          - {property: datalab.unit, value: mmol/L}
          - {property: datalab.convert, value: {column: glucose, substance: glucose}}
      - name: finding
        logicalType: string
        customProperties:
          - property: datalab.codes
            value: {column: finding, system: "http://snomed.info/sct", map: {MAP}}
"""
SITES = {
    "heidelberg": ("mg/dL", ",", {"HI": "22298006", "DM": "73211009"}, "90,0;HI\n180,156;DM\n99;HI2\n"),
    "lyon": ("g/L", ",", {"IDM": "22298006", "DIA": "73211009"}, "0,9;IDM\n1,80156;DIA\n0,99;=cmd\n"),
    "leeds": ("mmol/L", ".", {"1": "22298006", "2": "73211009"}, "4.99567;1\n10;2\n5.49524;\n"),
    "gent": ("umol/L", ".", {"mi": "22298006", "dm": "73211009"}, "4995.67;mi\n10000;dm\n5495.24;\n"),
}


def contract(folder: Path, site: str, *changes: tuple[str, str]) -> Path:
    unit, decimal, codes, _ = SITES[site]
    text = CONTRACT.replace("SITE", site).replace("UNIT", unit).replace("DECIMAL", decimal)
    text = text.replace("MAP", ", ".join(f'"{one}": "{other}"' for one, other in codes.items()))
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / f"{site}.odcs.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_four_exports_become_one_table(tmp_path: Path) -> None:
    for site, (*_, rows) in SITES.items():
        raw = tmp_path / f"{site}.csv"
        raw.write_text("glucose;finding\n" + rows, encoding="utf-8")
        report = curate(load_contract(contract(tmp_path, site)), raw, tmp_path / site)
        assert report.unmapped == {"finding": 1 if site in {"heidelberg", "lyon"} else 0}
        known = "finding IN ('22298006', '73211009')"
        found = duckdb.sql(
            f"SELECT finding, round(glucose, 4) FROM '{tmp_path}/{site}/data.parquet' WHERE {known} ORDER BY ALL"
        ).fetchall()
        assert found == [("22298006", 4.9957), ("73211009", 10.0)]
    with (tmp_path / "lyon" / "unmapped.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["column", "code", "system", "rows"],
            ["finding", "'=cmd", "http://snomed.info/sct", "1"],
        ]
    assert report.public().unmapped == {"finding": None}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", substance: glucose", "", "name the substance"),
        ("{column: glucose,", "{column: gloucose,", "There is no column gloucose"),
        ("value: mmol/L", "value: mg", "do not measure the same"),
        ("logicalType: number\n        logicalTypeOptions", "logicalType: integer\n        logicalTypeOptions",
         "this one of type number"),
        ("logicalTypeOptions: {minimum: 1,", "transformLogic: glucose\n        logicalTypeOptions: {minimum: 1,",
         "in more than one way"),
    ],
)  # fmt: skip
def test_a_contract_that_converts_what_it_cannot_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        load_contract(contract(tmp_path, "heidelberg", (old, new)))
