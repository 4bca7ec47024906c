"""The SQL of telling a value less exactly, as a typed value and as it is written to a prepared file.

The typed value is what the lab makes of the written one, so that a file which is prepared and then curated gives the
same table as one that is de-identified and curated in one go.
"""

from __future__ import annotations

from datalab.curation.contract import ExportColumn, Level
from datalab.curation.database import identifier, literal

PSEUDONYM = r"[0-9A-Za-z]{12}"
_CHAPTERS = (
    ("A00", "I"), ("C00", "II"), ("D50", "III"), ("E00", "IV"), ("F00", "V"), ("G00", "VI"), ("H00", "VII"),
    ("H60", "VIII"), ("I00", "IX"), ("J00", "X"), ("K00", "XI"), ("L00", "XII"), ("M00", "XIII"), ("N00", "XIV"),
    ("O00", "XV"), ("P00", "XVI"), ("Q00", "XVII"), ("R00", "XVIII"), ("S00", "XIX"), ("U00", "XXII"), ("V00", "XX"),
    ("Z00", "XXI"),
)  # fmt: skip
"""The first category of each chapter of ICD-10 (WHO, 2019 version), in the order of the codes."""


def value_at(column: ExportColumn, level: int, value: str) -> str:
    """Return the SQL of a typed value of the export at one of the column's levels."""
    at = column.levels[level]
    if at.kind == "band":
        return f"({value} - {value} % {at.width} + {(at.width - 1) / 2!r})::DOUBLE"
    if at.kind == "prefix":
        return f"left({value}, {at.width})"
    if at.kind == "period":
        year = f"year({value})"
        if at.period == "decade":
            return f"make_date({year} - {year} % 10, 1, 1)"
        return f"date_trunc('{at.period}', {value})::DATE"
    if at.kind == "chapter":
        code = f"upper(left({value}, 3))"
        cases = " ".join(f"WHEN {code} >= '{first}' THEN '{name}'" for first, name in reversed(_CHAPTERS))
        return f"CASE {cases} WHEN {value} IS NOT NULL THEN 'unknown' END"
    cases = " ".join(f"WHEN {literal(code)} THEN {literal(other)}" for code, other in at.pairs)
    return f"CASE {value}::VARCHAR {cases} END"


def written_at(column: ExportColumn, level: int | None) -> str:
    """Return the SQL of a de-identified value as it stands in a prepared file: bands as ``50-54``."""
    name = identifier(column.name)
    if level is None or column.levels[level].kind != "band":
        return name
    reach = (column.levels[level].width - 1) / 2
    return f"(({name} - {reach!r})::BIGINT || '-' || ({name} + {reach!r})::BIGINT)"


def arriving(column: ExportColumn, text: str) -> str | None:
    """Return the SQL that types a generalised or pseudonymised value of a prepared file; NULL where it is none.

    None where the value is written as the holder's own would be.
    """
    if column.pseudonym is not None:
        return f"CASE WHEN regexp_full_match({text}, '{PSEUDONYM}') THEN {text} END"
    kinds = {level.kind for level in column.levels}
    if "band" in kinds:
        return f"coalesce({', '.join(_middle_of_band(text, level.width) for level in column.levels)})"
    if "map" in kinds:
        codes = ", ".join(literal(other) for level in column.levels for _, other in level.pairs)
        return f"CASE WHEN {text} IN ({codes}) THEN {text} END"
    if kinds & {"prefix", "chapter"}:
        return f"CASE WHEN {_shortened(column.levels, text)} THEN {text} END"
    return None


def _shortened(levels: tuple[Level, ...], text: str) -> str:
    longest = max((level.width for level in levels if level.kind == "prefix"), default=0)
    chapters = ", ".join(f"'{name}'" for _, name in _CHAPTERS)
    told = f"{text} IN ({chapters}, 'unknown')" if any(level.kind == "chapter" for level in levels) else "false"
    return f"length({text}) <= {longest} OR {told}"


def _middle_of_band(text: str, width: int) -> str:
    """Turn ``50-54`` into its middle, 52, and anything but a band of this width into NULL."""
    low, high = (f"TRY_CAST(split_part({text}, '-', {part}) AS BIGINT)" for part in (1, 2))
    fits = f"regexp_full_match({text}, '[0-9]+-[0-9]+') AND {low} % {width} = 0 AND {high} = {low} + {width - 1}"
    return f"CASE WHEN {fits} THEN ({low} + {high}) / 2.0::DOUBLE END"
