"""What a contract says of its columns, told with the curated table."""

from __future__ import annotations

from pathlib import Path

from datalab.curation.contract import load_contract
from datalab.curation.engine import curate

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: visits
name: Visits
version: 1.0.0
status: active
schema:
  - name: export
    properties:
      - {name: age, logicalType: integer, required: true}
      - {name: diagnosis, logicalType: string}
  - name: harmonised
    properties:
      - {name: age, logicalType: integer, required: true, transformLogic: age}
      - name: diagnosis
        logicalType: string
        classification: restricted
        transformLogic: diagnosis
        customProperties: [{property: datalab.system, value: "http://hl7.org/fhir/sid/icd-10"}]
"""


def test_code_system_nullability_and_sensitivity_of_columns_are_told(tmp_path: Path) -> None:
    (tmp_path / "visits.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
    (tmp_path / "visits.csv").write_text("age,diagnosis\n40,I21.0\n41,\n" * 20, encoding="utf-8")
    report = curate(load_contract(tmp_path / "visits.odcs.yaml"), tmp_path / "visits.csv", tmp_path / "out")
    told = {one.name: (one.code_system, one.nullable, one.sensitivity) for one in report.public().columns}
    assert told == {
        "age": (None, False, None),
        "diagnosis": ("http://hl7.org/fhir/sid/icd-10", True, "restricted"),
    }
