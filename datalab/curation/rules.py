"""The SQL that types a row of texts and says which rules of the contract its values break."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from datalab.curation.contract import DATE_FORMATS, Bound, Contract, Domain, ExportColumn
from datalab.curation.database import identifier, literal
from datalab.curation.generalise import arriving
from datalab.curation.layout import Layout

SQL_TYPES = {"integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR", "date": "DATE"}

INTEGER = r"[+-]?[0-9]+([.]0*)?"
NUMBER = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
_TOLD_TOGETHER = 32


@dataclass(frozen=True)
class _Field:
    """The SQL names of one contract column in a row: its text as it stands, without missing markers, and typed."""

    index: int
    column: ExportColumn
    prepared: bool
    decimal: str

    @property
    def raw(self) -> str:
        return f"r{self.index}"

    @property
    def text(self) -> str:
        return f"t{self.index}"

    @property
    def value(self) -> str:
        return f"v{self.index}"

    @property
    def number(self) -> str:
        """The text with a decimal point; where the contract says a comma, a point is no part of a number."""
        return with_point(self.text, "." if self.prepared else self.decimal)

    @property
    def width(self) -> int | None:
        """The width of the widest bands that it may arrive in, or None."""
        return self.column.levels[-1].width if self.prepared and self.column.band is not None else None

    @property
    def domain(self) -> Domain:
        """What the value may be; of what was generalised or replaced, the code list and the bounds say nothing."""
        domain = self.column.domain
        if not self.prepared or (self.column.arrives_as == domain.type and not self.column.levels):
            return domain
        if self.width is not None:
            return domain
        return Domain(self.column.arrives_as, domain.required)

    @property
    def reach(self) -> float:
        """How far outside its bounds a value may lie: half a band, or the days by which dates were moved."""
        if self.width is not None:
            return (self.width - 1) / 2
        return self.column.shift if self.prepared else 0


def stored_type(column: ExportColumn, *, prepared: bool) -> str:
    """Return the SQL type of a validated column; the middle of a band is a DOUBLE."""
    return SQL_TYPES[column.arrives_as if prepared else column.domain.type]


def checked_rows(contract: Contract, clean: Path, layout: Layout, *, prepared: bool) -> str:
    """Return the query over the clean copy that gives each row's typed values, and ``_broken``.

    Columns that stay with the holder are checked and left out, but for prose, which is scanned yet. ``_broken`` is NULL
    for a row that keeps the contract; for one that does not, it has the texts of its columns, joined by NUL, which none
    of them can have, and from them ``told_faults`` says what is wrong. That is kept apart because most rows have no
    fault: to be ready to tell one of each column takes most of the memory. (A list takes longer to write than a text.)
    """
    source = {column.name: f"c{index}" for index, column in enumerate(layout.fields) if column is not None}
    fields = _fields(contract, prepared=prepared)
    kept = " AND ".join(f"({_kept(field)})" for field in fields if field.column.name in source) or "true"
    types = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(layout.fields)))
    raws = [f"{_raw(source.get(field.column.name))} AS {field.raw}" for field in fields]
    rows = f"""
        SELECT {", ".join(raws)}
        FROM read_csv({literal(str(clean))}, columns = {{{types}}}, auto_detect = false, header = false,
            delim = {literal(layout.delimiter)}, quote = '"', escape = '"', new_line = '\\n', strict_mode = true)
    """
    named = ", ".join(
        f"{field.value} AS {identifier(('_text_' if field.column.free_text else '') + field.column.name)}"
        for field in fields
        if field.column.free_text or not field.column.drop
    )
    texts = ", ".join(f"coalesce({field.raw}, '')" for field in fields)
    return f"""
        WITH {_typed_rows(contract, rows, fields, prepared=prepared)}
        SELECT {named}, CASE WHEN {kept} THEN NULL ELSE concat_ws(chr(0), {texts}) END AS _broken
        FROM typed
    """


def told_faults(contract: Contract, checked: Path, layout: Layout, *, prepared: bool) -> Iterator[str]:
    """Yield queries over the checked rows that give one line a fault: row, position, field, rule, class.

    Each query tells of some columns: of hundreds at once, DuckDB would need a gigabyte.
    """
    there = {column.name for column in layout.fields if column is not None}
    fields = [field for field in _fields(contract, prepared=prepared) if field.column.name in there]
    for start in range(0, len(fields), _TOLD_TOGETHER):
        some = fields[start : start + _TOLD_TOGETHER]
        raws = ", ".join(f"nullif(texts[{field.index + 1}], '') AS {field.raw}" for field in some)
        rows = f"""
            SELECT row, {raws} FROM (
                SELECT file_row_number + 1 AS row, string_split(_broken, chr(0)) AS texts
                FROM read_parquet({literal(str(checked))}, file_row_number = true) WHERE _broken IS NOT NULL
            )
        """
        faults = ", ".join(_fault(field) for field in some)
        yield f"""
            WITH {_typed_rows(contract, rows, some, prepared=prepared)},
            told AS (SELECT row, unnest([{faults}]) AS fault FROM typed)
            SELECT row, fault.* FROM told WHERE fault IS NOT NULL
        """


def _fields(contract: Contract, *, prepared: bool) -> list[_Field]:
    columns = contract.export.arriving(prepared=prepared)
    return [_Field(index, column, prepared, contract.export.decimal) for index, column in enumerate(columns)]


def _typed_rows(contract: Contract, rows: str, fields: Iterable[_Field], *, prepared: bool) -> str:
    """Return the common table expressions up to ``typed``, which adds to ``rows`` (raw texts) the texts and values."""
    markers = ", ".join(literal(marker) for marker in contract.export.missing)
    texts = [
        f"CASE WHEN {field.raw} NOT IN ({markers}) THEN {field.raw} END AS {field.text}"
        if markers and not prepared
        else f"{field.raw} AS {field.text}"
        for field in fields
    ]
    values = [f"{_typed(field)} AS {field.value}" for field in fields]
    return f"""
        raws AS ({rows}),
        texts AS (SELECT *, {", ".join(texts)} FROM raws),
        typed AS (SELECT *, {", ".join(values)} FROM texts)
    """


def outside(value: str, domain: Domain, *, reach: float = 0) -> list[tuple[str, str]]:
    """Return the conditions that a value outside its domain meets, each with the rule that it breaks.

    Args:
        value: SQL of the value.
        domain: what it may be.
        reach: for the middle of a band, the distance to its ends; a band is in range if any of it is;
            for a shifted date, the days.
    """
    found = []
    if domain.codes:
        codes = ", ".join(literal(code) if isinstance(code, str) else repr(code) for code in domain.codes)
        found.append((f"{value} NOT IN ({codes})", "code list"))
    if domain.minimum is not None:
        found.append((f"{value} < {_bound(domain.minimum, -reach)}", "range"))
    if domain.maximum is not None:
        found.append((f"{value} > {_bound(domain.maximum, reach)}", "range"))
    return found


def _bound(bound: Bound, reach: float) -> str:
    return f"DATE '{bound + timedelta(days=reach)}'" if isinstance(bound, date) else repr(bound + reach)


def _raw(source: str | None) -> str:
    """Strip spaces and tabs; most values have none, and to see that takes a tenth of the time."""
    if source is None:
        return "NULL::VARCHAR"
    spaced = f"{source} < '!' OR suffix({source}, ' ') OR suffix({source}, '\t')"
    return f"CASE WHEN {spaced} THEN nullif(trim({source}, ' \t'), '') ELSE {source} END"


def _typed(field: _Field) -> str:
    """Cast a text; what DuckDB would take but a CSV file should not say (1.5 as integer, 1_000, 0x1F) is NULL."""
    text, kind = field.text, field.column.domain.type
    if field.prepared and (special := arriving(field.column, text)) is not None:
        return special
    if kind == "string":
        return text
    if kind == "date":
        return as_date(text, "yyyy-MM-dd" if field.prepared else field.column.domain.format)
    text = field.number
    cast = f"TRY_CAST({text} AS {SQL_TYPES[kind]})"
    if kind == "number":
        return f"CASE WHEN isfinite({cast}) AND NOT contains({text}, '_') THEN {cast} END"
    # The comparison spares most values the regular expression.
    return f"CASE WHEN {cast}::VARCHAR = {text} OR regexp_full_match({text}, '{INTEGER}') THEN {cast} END"


def with_point(text: str, decimal: str) -> str:
    """Return the SQL of a text with a decimal point; where decimals have a comma, a point is no part of a number."""
    return text if decimal == "." else f"translate({text}, ',.', '.,')"


def as_date(text: str, written: str) -> str:
    """Return the SQL of a date written just so, with its zeros, on a day that the calendar has; of all else, NULL."""
    if written == "yyyy-MM-dd":  # what DuckDB casts in half the time that parsing by a pattern takes
        return f"CASE WHEN TRY_CAST({text} AS DATE)::VARCHAR = {text} THEN TRY_CAST({text} AS DATE) END"
    pattern = literal(DATE_FORMATS[written])
    day = f"try_strptime({text}, {pattern})"
    return f"CASE WHEN strftime({day}, {pattern}) = {text} THEN {day}::DATE END"


def _broken_rules(field: _Field) -> list[tuple[str, str]]:
    """Return the conditions under which a value breaks the contract, in the order in which they are told."""
    text, value, domain = field.text, field.value, field.domain
    type_rule = (f"{text} IS NOT NULL AND {value} IS NULL", "type" if field.width is None else "band")
    required = [(f"{text} IS NULL", "required")] if domain.required else []
    return [*required, type_rule, *outside(value, domain, reach=field.reach)]


def _kept(field: _Field) -> str:
    """Return the SQL that is true where ``_broken_rules`` finds nothing, in as few comparisons as it can be said."""
    domain, value = field.domain, field.value
    rules = " OR ".join(condition for condition, _ in outside(value, domain, reach=field.reach))
    if domain.required:
        return f"NOT ({rules})" if rules else f"{value} IS NOT NULL"
    return f"{field.text} IS NULL OR " + (f"NOT ({rules})" if rules else f"{value} IS NOT NULL")


def _fault(field: _Field) -> str:
    """Return the SQL of the first rule that a value breaks, and its class; NULL where it breaks none."""
    rules = _broken_rules(field)
    rule = " ".join(f"WHEN {condition} THEN '{name}'" for condition, name in rules)
    kind = (
        f"CASE WHEN {field.raw} IS NULL THEN 'empty' WHEN {field.text} IS NULL THEN 'missing marker' "
        f"WHEN regexp_full_match({field.number}, '{NUMBER}') THEN 'number' ELSE 'text' END"
    )
    broken = " OR ".join(f"({condition})" for condition, _ in rules)
    told = f"{{position: {field.index}, field: {literal(field.column.header)}, rule: CASE {rule} END, class: {kind}}}"
    return f"CASE WHEN {broken} THEN {told} END"
