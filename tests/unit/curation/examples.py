"""A small contract that tests change where they need to."""

from __future__ import annotations

from pathlib import Path

CONTRACTS = Path(__file__).parents[3] / "pipelines" / "contracts"

WARD = """\
apiVersion: v3.2.0
kind: DataContract
id: ward
name: A ward
version: 1.0.0
status: active
customProperties:
  - {property: datalab.disclosureThreshold, value: 3}
schema:
  - name: export
    customProperties:
      - {property: datalab.missing, value: ["?"]}
      - {property: datalab.kAnonymity, value: {k: 3, quasiIdentifiers: [age, sex]}}
    properties:
      - name: number
        physicalName: Patient number
        logicalType: integer
        required: true
        customProperties: [{property: datalab.deidentify, value: drop}]
      - name: age
        physicalName: Age
        logicalType: integer
        required: true
        logicalTypeOptions: {minimum: 0, maximum: 120}
        customProperties:
          - {property: datalab.unit, value: a}
          - {property: datalab.deidentify, value: {band: 10}}
      - {name: sex, physicalName: Sex, logicalType: string, required: true, enum: [{value: f}, {value: m}]}
      - name: weight
        physicalName: Weight
        logicalType: number
        logicalTypeOptions: {minimum: 1, maximum: 500}
        customProperties: [{property: datalab.unit, value: kg}]
      - {name: ill, physicalName: Ill, logicalType: integer, required: true, enum: [{value: 0}, {value: 1}, {value: 9}]}
  - name: harmonised
    customProperties:
      - property: datalab.exclusions
        value:
          - {name: not known, expression: ill = 9, reason: The outcome was not recorded.}
      - {property: datalab.sortBy, value: [age]}
    properties:
      - {name: age, logicalType: number, required: true, description: Age., transformLogic: age}
      - name: female
        logicalType: integer
        required: true
        enum: [{value: 0}, {value: 1}]
        transformLogic: CASE WHEN sex = 'f' THEN 1 ELSE 0 END
      - {name: weight, logicalType: number, transformLogic: weight}
      - name: ill
        logicalType: integer
        required: true
        enum: [{value: 0}, {value: 1}]
        transformLogic: ill
        customProperties: [{property: datalab.role, value: outcome}]
"""

HEADER = "Patient number,Age,Sex,Weight,Ill"


def write_contract(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the ward's contract after replacing each old piece of its text, which must be there, by a new one."""
    text = WARD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "ward.odcs.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def write_csv(path: Path, *lines: str, header: str = HEADER) -> Path:
    """Write an export of the ward."""
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path
