"""Columns that need no expression: values in another unit, and local codes in those of a common system."""

from __future__ import annotations

from typing import Any

from datalab.curation.contract import Export, ExportColumn
from datalab.curation.database import identifier, literal
from datalab.curation.expressions import Expression
from datalab.curation.extensions import OfHarmonisedColumn
from datalab.curation.units import conversion


def convert(own: OfHarmonisedColumn, entry: dict[str, Any], export: Export) -> Expression:
    """Return the expression of a column's values in the unit of the harmonised column.

    Raises:
        ValueError: the columns have no units, or such as do not measure the same; says it in a sentence.
    """
    assert own.convert is not None
    column = _column(own.convert.column, export)
    if column.arrives_as not in {"integer", "number"} or entry.get("logicalType") != "number":
        raise ValueError(f"{column.name} cannot be converted: both columns must be numbers, this one of type number.")
    if column.unit is None or own.unit is None:
        raise ValueError(f"{column.name} cannot be converted: both columns need a datalab.unit.")
    by = conversion(column.unit, own.unit, own.convert.substance)
    name = identifier(column.name)
    added = f" + {by.offset!r}::DOUBLE" if by.offset else ""
    return Expression(f"({name}::DOUBLE * {by.factor!r}::DOUBLE{added})", frozenset({column.name}))


def map_codes(own: OfHarmonisedColumn, entry: dict[str, Any], export: Export) -> Expression:
    """Return the expression of a column's codes in the other system; those without one stay as they are.

    Raises:
        ValueError: the map names codes that the column cannot have, or the column is no text.
    """
    assert own.codes is not None
    column = _column(own.codes.column, export)
    if entry.get("logicalType") != "string":
        raise ValueError(f"{entry['name']} must be of type string, as codes are.")
    unknown = sorted(set(own.codes.map) - {str(code) for code in column.domain.codes})
    if column.domain.codes and not column.levels and unknown:
        raise ValueError(f"The map names {unknown[0]}, which is not in the code list of {column.name}.")
    name = f"{identifier(column.name)}::VARCHAR"
    cases = " ".join(f"WHEN {literal(code)} THEN {literal(other)}" for code, other in sorted(own.codes.map.items()))
    return Expression(f"(CASE {name} {cases} ELSE {name} END)", frozenset({column.name}))


def _column(name: str, export: Export) -> ExportColumn:
    for column in export.columns:
        if column.name == name and not column.drop:
            return column
    raise ValueError(f"There is no column {name} in the export, or it is dropped at the holder.")
