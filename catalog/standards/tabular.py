"""The columns of a version for programs that read tables: Frictionless Table Schema, and the same as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from catalog.records import Version
from datalab.curation.report import Column

_TYPES = {"integer": "integer", "number": "number", "double": "number", "string": "string"}
_NULLABLE = {None: "", True: "yes", False: "no"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table_schema(version: Version) -> str:
    """Return the Frictionless Table Schema of a version."""
    fields = [_field(column) for column in version.report.columns]
    return json.dumps({"fields": fields, "missingValues": [""]}, indent=2, ensure_ascii=False)


def schema_csv(version: Version) -> str:
    """Return the columns of a version as CSV; no cell is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "type", "unit", "code system", "nullable", "sensitivity", "description"])
    for column in version.report.columns:
        cells = (column.name, column.type, column.unit, column.code_system, _NULLABLE[column.nullable],
                 column.sensitivity, column.description)  # fmt: skip
        writer.writerow(_inert(cell or "") for cell in cells)
    return text.getvalue()


def _field(column: Column) -> dict[str, Any]:
    field = {
        "name": column.name,
        "type": _TYPES.get(column.type, "any"),
        "description": column.description,
        "unit": column.unit,
        "codeSystem": column.code_system,
        "sensitivity": column.sensitivity,
        "constraints": {"required": True} if column.nullable is False else None,
    }
    return {name: value for name, value in field.items() if value is not None}


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
