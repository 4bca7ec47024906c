"""A first contract for a file: what its columns are, found by looking, for a data steward to confirm or correct."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field

from datalab.curation.contract import DATE_FORMATS, Code, Format, Type
from datalab.curation.database import connect, literal
from datalab.curation.freetext import kind_of
from datalab.curation.records import Records, read_header, scan
from datalab.curation.rules import INTEGER, NUMBER, as_date, with_point
from datalab.curation.source import Encoding, open_source, unpack_beginning
from datalab.curation.units import is_unit
from datalab.errors import BadInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Delimiter = Literal[",", ";", "\t", "|"]
DELIMITERS: tuple[Delimiter, ...] = get_args(Delimiter)
MAX_COLUMNS = 500
MARKERS = (
    "NA", "N/A", "n/a", "n.a.", "NaN", "nan", "NULL", "null", "None", "#N/A", "#NV", "k.A.", "k. A.", "keine Angabe",
    "non renseigné", "?", "-", ".",
)  # fmt: skip
"""Texts that are taken for "no value"; the last three only in a column that is numbers otherwise."""
_AMBIGUOUS = frozenset(MARKERS[-3:])
_Said = TypeVar("_Said", bound=str)
_MOST_UNPACKED = 64 * 1024 * 1024
_LIKE_A_DATE = "[0-9]{8}|[0-9]{2,4}[./-][0-9]{2}[./-][0-9]{2,4}"
_MOST_CODES = 12
_LONGEST_CODE = 60
_MOST_MISFITS = 0.05
"""Share of the values that may be no numbers in a column that is taken for one of numbers."""
_FEWEST_UNIQUE = 20
"""Rows from which on a column without repetitions is told."""
_SHOWN_FAULTS = 20
_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "œ": "oe", "æ": "ae"}
)
_UNITS = {
    "mm": "mm", "cm": "cm", "kg": "kg", "g": "g", "mg": "mg", "ml": "mL", "mmhg": "mm[Hg]", "bpm": "/min",
    "year": "a", "years": "a", "yrs": "a", "months": "mo", "days": "d", "hours": "h", "percent": "%", "pct": "%",
    "celsius": "Cel", "km": "km", "kwh": "kW.h", "mw": "MW",
}  # fmt: skip
"""Words of a header and the UCUM unit that each stands for; ``age`` alone is in years."""
_IDENTIFYING = re.compile(
    r"id|name|nom|ip|key|"
    r"(.*_)?(pid|uid|uuid|guid|mrn|ssn|surname|firstname|lastname|fullname|vorname|nachname|prenom|initials|email|e_mail|"
    r"phone|telephone|telefon|tel|mobile|fax|address|adresse|street|strasse|rue|postcode|plz|zip|birthdate|birthday|dob|"
    r"geburtsdatum|date_of_birth|birth_date|date_de_naissance|insurance_no|iban|passport|licence_plate)|"
    r"(.*_)?(patient|person|subject|participant|case|study|record|first|last|family|given|full|middle)_?"
    r"(id|nr|no|num|number|key|code|name)|"
    r"(.*_)?(pat|patienten|fall|aufnahme|auftrags?|befund|versicherten|versicherungs|mitglieds|probanden|dossier|sejour|"
    r"assure|examen)_?(id|nr|no|nummer|num|numero|kennung|schluessel)|"
    r"(.*_)?(kvnr|ipp|nip|familienname|geburtsname|nom_de_naissance|nom_de_famille|hausarzt|telefonnummer|handy|mobil|"
    r"portable|hausnummer|code_postal|postleitzahl|date_naissance|geb_?datum|securite_sociale)"
)
_PROSE = re.compile(
    r"(.*_)?(bemerkung|bemerkungen|anmerkung|kommentar|freitext|befundtext|anamnese|epikrise|arztbrief|comment|comments|"
    r"remark|remarks|note|notes|free_?text|narrative|letter|commentaire|commentaires|remarque|remarques|compte_rendu)"
)
_WORDS = 4.0
"""Words of a column's values in the mean, from which on it is taken for prose."""


Why = Literal["", "name", "values", "text"]


class ColumnDraft(BaseModel):
    """A column as it was found, and as a steward has corrected it.

    Attributes:
        header: how the file calls it.
        name: how the contract does.
        type: what its values are, and ``found_type`` what they were seen to be.
        unit: UCUM code.
        required: whether each record must have a value.
        codes: the only values that there are, if they are to be held to; empty for no bound.
        format: how its dates are written, one of ``DATE_FORMATS``; empty for what is no date.
        found_codes: the values seen, where they are few.
        identifier: whether it tells who a person is.
        why: what made it look like an identifier: its ``name``, that all ``values`` differ, or that it holds ``text``:
            prose, or values in which something has the form of an identifier.
        misfits: values that are not of the type, where nearly all others are.
        missing: records without a value.
        distinct: different values.
        low: smallest number.
        high: largest number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: Annotated[str, Field(max_length=300)]
    name: str
    type: Type
    found_type: Type
    format: str = ""
    unit: Annotated[str, Field(max_length=40)] = ""
    description: Annotated[str, Field(max_length=300)] = ""
    required: bool = False
    codes: tuple[Code, ...] = ()
    found_codes: tuple[Code, ...] = ()
    identifier: bool = False
    why: Why = ""
    misfits: int = 0
    missing: int = 0
    distinct: int = 0
    low: float | None = None
    high: float | None = None


class UnreadableRecord(BaseModel):
    """Where a record stands that cannot be read, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: int
    rule: str


class Inference(BaseModel):
    """What was found in a file, or in its beginning.

    Attributes:
        records: records looked at.
        whole: whether that was all of the file.
        unreadable: records among them that no reader could take.
        first_unreadable: where the first of those stand.
        decimal: what stands before the decimals of its numbers.
        missing: texts that mean "no value".
        format: of the file; where its records are nested, the columns' headers are paths.
        records_key: the key of the list in which the records of a JSON document stand.
        resource_type: the FHIR resources that were looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format = "csv"
    records_key: str = ""
    resource_type: str = ""
    delimiter: Delimiter
    encoding: Encoding = "utf-8"
    decimal: Literal[".", ","] = "."
    records: int
    whole: bool
    unreadable: int
    first_unreadable: tuple[UnreadableRecord, ...]
    missing: tuple[str, ...]
    columns: tuple[ColumnDraft, ...]


class _Head(NamedTuple):
    """The first record of a file: its fields, its length in bytes of UTF-8, and the lines it takes."""

    delimiter: Delimiter
    headers: list[str]
    length: int
    lines: int


class _Seen(NamedTuple):
    """What one column was seen to hold; ``values`` and all after it leave what may be a missing marker out."""

    empty: int
    markers: dict[str, int]
    values: int
    distinct: int
    integers: int
    numbers: int
    low: float | None
    high: float | None
    padded: int
    telling: int
    words: float
    dates: dict[str, int]


def infer(path: Path, work: Path, *, whole: bool = True, more: Sequence[Path] = ()) -> Inference:
    """Look at a CSV file, or at several of one source, and say what its columns are.

    Args:
        path: the file, plain or gzip, or its beginning.
        work: an empty folder to work in.
        whole: False if it is the beginning; a record that is cut off at its end is left out.
        more: other files of the same source, in whole; a column that is not in all of them is not required.

    Raises:
        BadInputError: one is no text, names no columns, has too many, has no record that can be read, or is written in
            another way than the first.
    """
    first, whole = unpack_beginning(path, work / "plain.csv", _MOST_UNPACKED, whole=whole)
    if not whole:
        _cut_last_line(first)
    files = [first]
    for number, other in enumerate(more):
        plain, all_of_it = unpack_beginning(other, work / f"plain-{number}.csv", _MOST_UNPACKED, whole=True)
        files.append(plain)
        whole = whole and all_of_it
    names = [one.name for one in (path, *more)] if more else [""]
    encoding: Encoding = _agreed("encoding", [_encoding(one) for one in files], names) or "utf-8"
    heads = [_header(one, encoding, name) for one, name in zip(files, names, strict=True)]
    delimiter: Delimiter = _agreed("delimiter", [head.delimiter for head in heads], names) or ","
    headers = list(dict.fromkeys(header for head in heads for header in head.headers))
    scanned: list[Records] = []
    with connect(work) as database:
        columns = ", ".join(f"c{index} VARCHAR" for index in range(len(headers)))
        database.execute(f"CREATE TEMP TABLE texts ({columns})")
        for one, head, name in zip(files, heads, names, strict=True):
            clean = work / "clean.csv"
            records = scan(
                one, clean, delimiter=delimiter, fields=len(head.headers), skip=head.length, lines_before=head.lines,
                encoding=encoding,
            )  # fmt: skip
            if not records.clean:
                raise BadInputError(
                    "There is no record below the first line that has as many fields as it.",
                    where=_at(name, f"line {records.faults[0].line}, {records.faults[0].rule}")
                    if records.faults
                    else _at(name, "line 2"),
                    next_step="Export it again, with the columns' names in the first line and a record in each other.",
                )
            _load(database, clean, delimiter, [headers.index(header) for header in head.headers])
            scanned.append(records)
        decimal = _decimal(database, delimiter, len(headers))
        seen = [_look(database, index, decimal) for index in range(len(headers))]
        used = {marker for one in seen for marker in one.markers if marker not in _AMBIGUOUS or _is_numeric(one)}
        drafts = _columns(database, headers, seen, used)
    return Inference(
        delimiter=delimiter,
        encoding=encoding,
        decimal=decimal,
        records=sum(one.total for one in scanned),
        whole=whole,
        unreadable=sum(len(one.faults) for one in scanned),
        first_unreadable=_first(scanned),
        missing=tuple(marker for marker in MARKERS if marker in used),
        columns=tuple(drafts),
    )


def _at(name: str, place: str) -> str:
    return f"{name}, {place}" if name else place


def _agreed(what: str, said: Sequence[_Said | None], names: Sequence[str]) -> _Said | None:
    """Return what all files say that say anything."""
    told = [(one, name) for one, name in zip(said, names, strict=True) if one is not None]
    for one, name in told:
        if one != told[0][0]:
            raise BadInputError(
                f"The files differ: the {what} of {told[0][1]} is {told[0][0]!r}, and of {name} {one!r}.",
                where=name,
                next_step="A contract reads files of one way: export them alike, or infer a contract for each.",
            )
    return told[0][0] if told else None


def _encoding(path: Path) -> Encoding | None:
    """Tell UTF-8 from Windows-1252 by the lines that have other letters than ASCII; None where none has.

    Text in Windows-1252 is hardly ever valid UTF-8. A few bad lines in a file of UTF-8 stay findings.
    """
    good = bad = 0
    with open_source(path) as source:
        rest = b""
        while chunk := source.read(1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in [*lines, *([rest] if len(chunk) < 1 << 20 else [])]:
                if line.isascii():
                    continue
                try:
                    line.decode()
                    good += 1
                except UnicodeDecodeError:
                    bad += 1
    if not good and not bad:
        return None
    return "windows-1252" if bad > good else "utf-8"


def _decimal(database: DuckDBPyConnection, delimiter: str, count: int) -> Literal[".", ","]:
    """Tell whether the file's numbers have commas before their decimals."""
    if delimiter == ",":
        return "."
    texts = " UNION ALL ".join(f"SELECT c{index} AS t FROM texts" for index in range(count))
    commas, points = (f"count(*) FILTER (regexp_full_match(t, '[+-]?[0-9]+[{mark}][0-9]+'))" for mark in ",.")
    row = database.execute(f"SELECT {commas} > {points} FROM ({texts})").fetchone()
    return "," if row is not None and row[0] else "."


def _header(path: Path, encoding: Encoding, name: str) -> _Head:
    """Read the first record with the delimiter that makes the most columns of it."""
    found = [_Head(delimiter, *read_header(path, delimiter, encoding)) for delimiter in DELIMITERS]
    head = max(found, key=lambda one: len(one.headers))
    headers = head.headers
    problem = None
    if not any(headers):
        problem = "The first line of the file names no columns."
    elif "" in headers:
        problem = f"Column {headers.index('') + 1} has no name in the first line."
    elif len(set(headers)) < len(headers):
        repeated = next(name for name in headers if headers.count(name) > 1)
        problem = f"The column {repeated[:80]} is there more than once."
    elif len(headers) > MAX_COLUMNS:
        problem = f"The file has {len(headers)} columns; {MAX_COLUMNS} are the most that can be registered."
    elif all(re.fullmatch(NUMBER, name) for name in headers):
        problem = "The first line has numbers in place of the columns' names."
    if problem is not None:
        raise BadInputError(
            problem, where=_at(name, "line 1"), next_step="Give each column one name of its own in the first line."
        )
    return head._replace(headers=[one[:300] for one in headers])


def _cut_last_line(path: Path) -> None:
    """Shorten a file to its last line end, looking backwards from its end."""
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        start = max(end - (1 << 20), 0)
        file.seek(start)
        last = file.read().rfind(b"\n")
        if last >= 0:
            file.truncate(start + last + 1)


def _load(database: DuckDBPyConnection, clean: Path, delimiter: str, indexes: Sequence[int]) -> None:
    """Add the records of a clean file to the table ``texts``, each field to the column of its index there."""
    types = ", ".join(f"'c{index}': 'VARCHAR'" for index in indexes)
    texts = ", ".join(f"nullif(trim(c{index}, ' \t'), '') AS c{index}" for index in indexes)
    database.execute(
        f"INSERT INTO texts BY NAME SELECT {texts} FROM read_csv({literal(str(clean))}, columns = {{{types}}}, "
        f"auto_detect = false, header = false, delim = {literal(delimiter)}, quote = '\"', escape = '\"', "
        "new_line = '\\n', strict_mode = true)"
    )


def _look(database: DuckDBPyConnection, index: int, decimal: str) -> _Seen:
    markers = ", ".join(literal(marker) for marker in MARKERS)
    row = database.execute(
        f"""
        SELECT count(*) FILTER (t IS NULL), histogram(t) FILTER (t IN ({markers})), count(*) FILTER (v),
            count(DISTINCT t) FILTER (v), count(*) FILTER (v AND regexp_full_match(n, ?)),
            count(*) FILTER (v AND regexp_full_match(n, ?)), min(try_cast(n AS DOUBLE)) FILTER (v),
            max(try_cast(n AS DOUBLE)) FILTER (v), count(*) FILTER (v AND regexp_full_match(n, '0[0-9]+')),
            count({kind_of("t")}) FILTER (v),
            coalesce(avg(CASE WHEN contains(t, chr(10)) THEN {_WORDS} ELSE len(string_split(t, ' ')) END)
                FILTER (v AND NOT regexp_full_match(n, ?)), 0),
            count(*) FILTER (v AND regexp_full_match(t, '{_LIKE_A_DATE}'))
        FROM (SELECT c{index} AS t, {with_point(f"c{index}", decimal)} AS n,
            c{index} IS NOT NULL AND c{index} NOT IN ({markers}) AS v FROM texts)
        """,
        [INTEGER, NUMBER, NUMBER],
    ).fetchone()
    assert row is not None
    empty, markers, values, *counted, like_dates = row
    dates = _look_for_dates(database, index) if like_dates and values - like_dates <= _MOST_MISFITS * values else {}
    return _Seen._make([empty, dict(markers or {}), values, *counted, dates])


def _look_for_dates(database: DuckDBPyConnection, index: int) -> dict[str, int]:
    """Count by format the values that are dates; it takes a second for a million of them."""
    dates = ", ".join(f"count({as_date(f'c{index}', written)})" for written in DATE_FORMATS)
    row = database.execute(f"SELECT {dates} FROM texts").fetchone()
    assert row is not None
    return dict(zip(DATE_FORMATS, row, strict=True))


def _is_numeric(seen: _Seen) -> bool:
    return seen.numbers > 0 and seen.values - seen.numbers <= _MOST_MISFITS * seen.values


def _date_format(seen: _Seen) -> str:
    """Return how a column writes dates, if nearly all of its values are some; where it could be either, day first."""
    written = max(seen.dates, key=lambda one: seen.dates[one], default="")
    found = seen.dates.get(written, 0)
    return written if found and seen.values - found <= _MOST_MISFITS * seen.values else ""


def _columns(
    database: DuckDBPyConnection, headers: Sequence[str], seen: Sequence[_Seen], used: Collection[str]
) -> list[ColumnDraft]:
    made: list[ColumnDraft] = []
    names: set[str] = set()
    for index, (header, one) in enumerate(zip(headers, seen, strict=True)):
        name = _name(header, index, names)
        missing = one.empty + sum(count for marker, count in one.markers.items() if marker in used)
        kind: Type = "string"
        written = _date_format(one)
        if written:
            kind = "date"
        elif _is_numeric(one) and not one.padded:  # 01067 is a postal code, and no number
            kind = "integer" if one.integers == one.numbers else "number"
        numeric = kind in {"integer", "number"}
        codes = _codes(database, index, kind, one)
        why: Why = ""
        if _IDENTIFYING.fullmatch(name):
            why, codes = "name", ()
        elif kind == "string" and (one.telling or one.words >= _WORDS or _PROSE.fullmatch(name)):
            why, codes = "text", ()
        elif kind not in {"number", "date"} and one.distinct == one.values >= _FEWEST_UNIQUE and not missing:
            why = "values"
        made.append(
            ColumnDraft(
                header=header,
                name=name,
                type=kind,
                found_type=kind,
                format=written,
                unit=_unit(header, name) if numeric else "",
                required=not missing,
                codes=codes,
                found_codes=codes,
                identifier=why in {"name", "text"},
                why=why,
                misfits=one.values - (one.numbers if numeric else one.dates.get(written, one.values)),
                missing=missing,
                distinct=one.distinct,
                low=one.low if numeric else None,
                high=one.high if numeric else None,
            )
        )
        names.add(name)
    return made


def _codes(database: DuckDBPyConnection, index: int, kind: Type, seen: _Seen) -> tuple[Code, ...]:
    """Return the values of a column in which a few stand again and again."""
    few = 0 < seen.distinct <= _MOST_CODES and seen.values >= 5 * seen.distinct
    if kind in {"number", "date"} or not few or (kind == "string" and not _AMBIGUOUS.isdisjoint(seen.markers)):
        return ()
    markers = ", ".join(literal(marker) for marker in MARKERS)
    found = database.execute(f"SELECT DISTINCT c{index} FROM texts WHERE c{index} NOT IN ({markers})").fetchall()
    texts = [str(row[0]) for row in found]
    if kind == "integer":
        if seen.numbers < seen.values:
            return ()
        return tuple(sorted({int(float(text)) for text in texts}))
    return tuple(sorted(texts)) if all(len(text) <= _LONGEST_CODE for text in texts) else ()


def _name(header: str, index: int, taken: set[str]) -> str:
    """Return a header as a column name of a contract: small letters, digits and _."""
    plain = unicodedata.normalize("NFKD", header.translate(_LETTERS))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    name = re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")[:60] or f"column_{index + 1}"
    name = name if name[0].isalpha() else f"c_{name}"
    return name if name not in taken else f"{name}_{index + 1}"


def _unit(header: str, name: str) -> str:
    """Return the UCUM unit that a header names: by a word of ``_UNITS``, or as it is written, as in ``Hb [g/dl]``."""
    words = name.split("_")
    if words[0] == "age" or name in {"alter", "lebensalter"}:
        return "a"
    if len(words) > 1 and words[-1] in _UNITS:
        return _UNITS[words[-1]]
    last = re.search(r"[\s(\[_]([^\s(\[_]+?)[)\]]?$", header)
    if last is None:
        return ""
    written = re.sub(r"[µμ]", "u", last[1]).replace("10^", "10*").replace("mmHg", "mm[Hg]").replace("°C", "Cel")
    written = re.sub(r"(?<![A-Za-z])(d|m|u|n|)l\b", r"\1L", written)
    written = written.replace("IU", "[IU]").replace("IE", "[IU]")
    return written if re.search(r"[/%\[*]|^Cel$", written) and is_unit(written) else ""


def _first(scanned: Sequence[Records]) -> tuple[UnreadableRecord, ...]:
    faults = [fault for records in scanned for fault in records.faults]
    return tuple(UnreadableRecord(line=one.line, rule=one.rule) for one in faults[:_SHOWN_FAULTS])
