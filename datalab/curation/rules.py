"""The SQL that types a row of texts and says which rules of the contract its values break."""

from __future__ import annotations

from pathlib import Path

from datalab.curation.contract import Contract, Domain, ExportColumn
from datalab.curation.database import identifier, literal
from datalab.curation.layout import Layout

SQL_TYPES = {"integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR"}

_INTEGER = r"[+-]?[0-9]+([.]0*)?"
_NUMBER = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
_BAND = r"[0-9]+-[0-9]+"


def stored_type(column: ExportColumn, *, prepared: bool) -> str:
    """Return the SQL type of a validated column; the middle of a band is a DOUBLE."""
    return "DOUBLE" if prepared and column.band is not None else SQL_TYPES[column.domain.type]


def checked_rows(
    contract: Contract, clean: Path, layout: Layout, columns: tuple[ExportColumn, ...], *, prepared: bool
) -> str:
    """Return the query over the clean copy that gives each row's number, typed values and list of faults."""
    missing = () if prepared else contract.export.missing
    source = {column.name: f"c{index}" for index, column in enumerate(layout.fields) if column is not None}
    texts, values, faults = [], [], []
    for index, column in enumerate(columns):
        field = source.get(column.name)
        text, raw = f"t{index}", f"r{index}"
        texts.append(f"nullif(trim({field}, ' \t'), '') AS {raw}" if field else f"NULL::VARCHAR AS {raw}")
        markers = ", ".join(literal(marker) for marker in missing)
        texts.append(
            f"CASE WHEN {raw} IN ({markers}) THEN NULL ELSE {raw} END AS {text}" if markers else f"{raw} AS {text}"
        )
        banded = prepared and column.band is not None
        value = _band_sql(text, column.band or 1) if banded else _value_sql(text, column.domain)
        values.append(f"{value} AS v{index}")
        if field:
            faults.append(_fault_sql(index, column, half=(column.band or 1) / 2 - 0.5 if banded else None))
    fields = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(layout.fields)))
    listed = ", ".join(faults) or "NULL"
    named = ", ".join(f"v{index} AS {identifier(column.name)}" for index, column in enumerate(columns))
    return f"""
        WITH texts AS (
            SELECT row_number() OVER () AS row, {", ".join(texts)}
            FROM read_csv({literal(str(clean))}, columns = {{{fields}}}, auto_detect = false, header = false,
                delim = {literal(layout.delimiter)}, quote = '"', escape = '"', new_line = '\\n', strict_mode = true)
        ), typed AS (SELECT *, {", ".join(values)} FROM texts)
        SELECT row, {named}, list_filter([{listed}], lambda fault: fault IS NOT NULL) AS faults FROM typed
    """


def _value_sql(text: str, domain: Domain) -> str:
    if domain.type == "string":
        return text
    form = _INTEGER if domain.type == "integer" else _NUMBER
    value = f"TRY_CAST({text} AS {SQL_TYPES[domain.type]})"
    finite = f" AND isfinite({value})" if domain.type == "number" else ""
    return f"CASE WHEN regexp_full_match({text}, '{form}'){finite} THEN {value} END"


def _band_sql(text: str, width: int) -> str:
    """Turn ``50-54`` into its middle, 52; anything but a band of this width into NULL."""
    low, high = (f"TRY_CAST(split_part({text}, '-', {part}) AS BIGINT)" for part in (1, 2))
    fits = f"regexp_full_match({text}, '{_BAND}') AND {low} % {width} = 0 AND {high} = {low} + {width - 1}"
    return f"CASE WHEN {fits} THEN ({low} + {high}) / 2.0::DOUBLE END"


def _fault_sql(index: int, column: ExportColumn, *, half: float | None) -> str:
    """Build the expression that gives the first rule that a value breaks, or NULL.

    Args:
        index: the column's number in the query.
        column: the column.
        half: for a band, the distance from its middle to either end; a band is in range if any of it is.
    """
    domain = column.domain
    text, raw, value = f"t{index}", f"r{index}", f"v{index}"
    rules = [(f"{text} IS NULL", "required")] if domain.required else []
    rules.append((f"{text} IS NOT NULL AND {value} IS NULL", "type" if half is None else "band"))
    rules += outside(value, domain, half=half)
    rule = " ".join(f"WHEN {condition} THEN '{name}'" for condition, name in rules)
    kind = (
        f"CASE WHEN {raw} IS NULL THEN 'empty' WHEN {text} IS NULL THEN 'missing marker' "
        f"WHEN regexp_full_match({text}, '{_NUMBER}') THEN 'number' ELSE 'text' END"
    )
    broken = " OR ".join(f"({condition})" for condition, _ in rules)
    return (
        f"CASE WHEN {broken} THEN {{'position': {index}, 'field': {literal(column.header)}, "
        f"'rule': CASE {rule} END, 'class': {kind}}} END"
    )


def outside(value: str, domain: Domain, *, half: float | None = None) -> list[tuple[str, str]]:
    """Return the conditions that a value outside its domain meets, each with its rule; ``half`` as for a band."""
    found = []
    if domain.codes:
        codes = ", ".join(literal(code) if isinstance(code, str) else repr(code) for code in domain.codes)
        found.append((f"{value} NOT IN ({codes})", "code list"))
    reach = half or 0
    if domain.minimum is not None:
        found.append((f"{value} < {domain.minimum - reach!r}", "range"))
    if domain.maximum is not None:
        found.append((f"{value} > {domain.maximum + reach!r}", "range"))
    return found
