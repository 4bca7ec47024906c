"""The columns of a version for programs that read tables: Frictionless Table Schema, and the same as CSV."""

from __future__ import annotations

import csv
import io
import json

from catalog.records import Version
from datalab.curation.report import Column

_TYPES = {"integer": "integer", "number": "number", "double": "number", "string": "string"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table_schema(version: Version) -> str:
    """Return the Frictionless Table Schema of a version."""
    fields = [_field(column) for column in version.report.columns]
    return json.dumps({"fields": fields, "missingValues": [""]}, indent=2, ensure_ascii=False)


def schema_csv(version: Version) -> str:
    """Return the columns of a version as CSV; no cell is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "type", "unit", "description"])
    for column in version.report.columns:
        writer.writerow(_inert(cell) for cell in (column.name, column.type, column.unit or "", column.description))
    return text.getvalue()


def _field(column: Column) -> dict[str, str]:
    field = {"name": column.name, "type": _TYPES.get(column.type, "any"), "description": column.description}
    return {**field, "unit": column.unit} if column.unit else field


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
