"""From a valid ODCS document to a ``Contract``: everything that the standard leaves open is checked here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from datalab.curation.contract import (
    DATE_FORMATS,
    Bound,
    Code,
    Contract,
    Domain,
    Exclusion,
    Export,
    ExportColumn,
    Harmonised,
    HarmonisedColumn,
    QualityRule,
    Type,
)
from datalab.curation.database import connect
from datalab.curation.expressions import Expression, parse_expression
from datalab.curation.extensions import (
    OfContract,
    OfExport,
    OfExportColumn,
    OfHarmonised,
    OfHarmonisedColumn,
    read_extensions,
)
from datalab.curation.hierarchies import read_privacy, with_action
from datalab.curation.mapping import convert, map_codes
from datalab.curation.nested import NESTED, check_format, path_of
from datalab.curation.odcs import Document, Key
from datalab.errors import BadInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TYPES = get_args(Type)
_OPTIONS: dict[Type, set[str]] = {
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum"},
    "string": set(),
    "date": {"minimum", "maximum", "format"},
}
_TOLD = {  # keys of a property that Datalab either uses or may leave to the reader
    "name", "businessName", "description", "tags", "classification", "physicalType", "logicalType", "required",
    "logicalTypeOptions", "enum", "customProperties", "transformDescription",
}  # fmt: skip
OPERATORS = {
    "mustBe": "=",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
}
_IN_WORDS = {"=": "exactly", ">": "more than", ">=": "at least", "<": "fewer than", "<=": "at most"}


def read_contract(document: Document) -> Contract:
    """Return the contract in a document.

    Raises:
        BadInputError: something in it is not as Datalab needs it; says the file and line.
    """
    own = read_extensions(document, OfContract)
    export_at, harmonised_at = _places(document)
    with connect() as parser:
        export = _export(document, export_at)
        harmonised = _harmonised(document, harmonised_at, export, parser)
    return Contract(
        id=document.data["id"],
        version=document.data["version"],
        title=document.data.get("name", document.data["id"]),
        description=_text(document.data.get("description", {}), "purpose"),
        digest=document.digest,
        export=export,
        harmonised=harmonised,
        disclosure_threshold=own.disclosure_threshold,
        stop_on_reject=own.on_reject == "stop",
    )


def _places(document: Document) -> tuple[int, int]:
    names = [part["name"] for part in document.data.get("schema", [])]
    if sorted(names) != ["export", "harmonised"]:
        raise BadInputError(
            "A contract has exactly two schema objects, export and harmonised.",
            where=document.where("schema"),
            next_step="Name them so; tables of other contracts go to files of their own.",
        )
    return names.index("export"), names.index("harmonised")


def _export(document: Document, at: int) -> Export:
    own = read_extensions(document, OfExport, "schema", at)
    check_format(document, own, "schema", at)
    nested = own.format in NESTED
    columns = tuple(
        _export_column(document, ("schema", at, "properties", index), entry, nested=nested)
        for index, entry in _properties(document, at)
    )
    _unique(document, at, (column.header for column in columns), "physicalName")
    if own.decimal == own.delimiter:
        raise BadInputError(
            "The decimal comma and the delimiter are the same.",
            where=document.where("schema", at, "customProperties"),
            next_step="Files with decimal commas have another datalab.delimiter, most often ;.",
        )
    return Export(
        columns=columns,
        format=own.format,
        records=own.records,
        resource_type=own.resource_type,
        delimiter=own.delimiter,
        header=own.header,
        encoding=own.encoding,
        decimal=own.decimal,
        missing=tuple(own.missing),
        privacy=read_privacy(own, columns, where=document.where("schema", at, "customProperties")),
    )


def _export_column(document: Document, keys: tuple[Key, ...], entry: dict[str, Any], *, nested: bool) -> ExportColumn:
    _no_other_keys(document, keys, entry, _TOLD | {"physicalName"})
    own = read_extensions(document, OfExportColumn, *keys)
    domain = _domain(document, keys, entry)
    column = ExportColumn(
        name=entry["name"],
        header=entry.get("physicalName", entry["name"]),
        unit=own.unit,
        description=_text(entry, "description"),
        domain=domain,
        path=path_of(document, keys, own, entry.get("physicalName", entry["name"]), nested=nested),
    )
    return with_action(column, own.deidentify, contract=document.data["id"], where=document.where(*keys))


def _harmonised(document: Document, at: int, export: Export, parser: DuckDBPyConnection) -> Harmonised:
    own = read_extensions(document, OfHarmonised, "schema", at)
    readable = {column.name for column in export.columns if not column.drop}
    columns: list[HarmonisedColumn] = []
    outcomes: list[str] = []
    pseudonyms: list[str] = []
    quality = _quality(document, ("schema", at), document.data["schema"][at], None)
    for index, entry in _properties(document, at):
        keys = ("schema", at, "properties", index)
        _no_other_keys(document, keys, entry, _TOLD | {"transformLogic", "quality"})
        extensions = read_extensions(document, OfHarmonisedColumn, *keys)
        column = HarmonisedColumn(
            name=entry["name"],
            unit=extensions.unit,
            description=_text(entry, "description"),
            domain=_harmonised_domain(document, keys, entry),
            expression=_computed(document, keys, entry, extensions, export, parser),
            code_system=extensions.codes.system if extensions.codes else extensions.system,
            mapped=tuple(sorted(set(extensions.codes.map.values()))) if extensions.codes else (),
            classification=_text(entry, "classification") or ("pseudonym" if extensions.role == "pseudonym" else None),
        )
        columns.append(column)
        quality += _quality(document, keys, entry, column.name)
        if extensions.role == "outcome":
            _check_outcome(document, keys, column)
            outcomes.append(column.name)
        if extensions.role == "pseudonym":
            pseudonyms.append(column.name)
    names = {column.name for column in columns}
    _known(document, own.sort_by, names, "a column to sort by", "schema", at, "customProperties")
    for role, having in {"outcome": outcomes, "pseudonym": pseudonyms}.items():
        if len(having) > 1:
            raise BadInputError(
                f"A contract has one {role} at most.", where=document.where("schema", at), next_step="Keep one."
            )
    where = f"{document.where('schema', at, 'customProperties')}, exclusion "
    return Harmonised(
        columns=tuple(columns),
        exclusions=tuple(
            Exclusion(one.name, parse_expression(parser, one.expression, readable, where=where + one.name), one.reason)
            for one in own.exclusions
        ),
        sort_by=tuple(own.sort_by),
        outcome=outcomes[0] if outcomes else None,
        pseudonym=pseudonyms[0] if pseudonyms else None,
        quality=tuple(quality),
    )


def _computed(
    document: Document,
    keys: tuple[Key, ...],
    entry: dict[str, Any],
    own: OfHarmonisedColumn,
    export: Export,
    parser: DuckDBPyConnection,
) -> Expression:
    """Return how a column is computed: by ``transformLogic``, ``datalab.convert`` or ``datalab.codes``."""
    readable = {column.name for column in export.columns if not column.drop}
    ways = [way for way in (own.convert, own.codes, entry.get("transformLogic")) if way is not None]
    if len(ways) > 1:
        raise BadInputError(
            f"The harmonised column {entry['name']} is computed in more than one way.",
            where=document.where(*keys),
            next_step="Keep one of transformLogic, datalab.convert and datalab.codes.",
        )
    if own.convert is None and own.codes is None:
        return _transform(document, keys, entry, readable, parser)
    try:
        return convert(own, entry, export) if own.convert else map_codes(own, entry, export)
    except ValueError as error:
        raise BadInputError(
            str(error), where=document.where(*keys), next_step="See docs/data-contracts.md for units and codes."
        ) from None


def _transform(
    document: Document,
    keys: tuple[Key, ...],
    entry: dict[str, Any],
    readable: Collection[str],
    parser: DuckDBPyConnection,
) -> Expression:
    if "transformLogic" not in entry:
        raise BadInputError(
            f"The harmonised column {entry['name']} has no transformLogic.",
            where=document.where(*keys),
            next_step="Say how it is computed from the export's columns.",
        )
    where = f"{document.where(*keys, 'transformLogic')}, property {entry['name']}"
    return parse_expression(parser, entry["transformLogic"], readable, where=where)


def _harmonised_domain(document: Document, keys: tuple[Key, ...], entry: dict[str, Any]) -> Domain:
    domain = _domain(document, keys, entry)
    if domain.type == "date":
        raise BadInputError(
            f"The harmonised column {entry['name']} is a date, which no model trains on.",
            where=document.where(*keys, "logicalType"),
            next_step="Compute a number from it: one date less another is a number of days.",
        )
    return domain


def _domain(document: Document, keys: tuple[Key, ...], entry: dict[str, Any]) -> Domain:
    kind: str = entry.get("logicalType", "")
    if kind not in _TYPES:
        raise BadInputError(
            f"The column {entry['name']} has no type that Datalab curates.",
            where=document.where(*keys, "logicalType"),
            next_step=f"Use one of {', '.join(_TYPES)}.",
        )
    options = entry.get("logicalTypeOptions", {})
    unknown = sorted(set(options) - _OPTIONS[cast("Type", kind)])
    if unknown:
        raise BadInputError(
            f"The option {unknown[0]} of {entry['name']} is not one that Datalab checks.",
            where=document.where(*keys, "logicalTypeOptions"),
            next_step="Numbers and dates may have minimum and maximum; dates a format; texts a code list (enum).",
        )
    written = options.get("format", "yyyy-MM-dd")
    if written not in DATE_FORMATS:
        raise BadInputError(
            f"The dates of {entry['name']} are in a format that Datalab does not read.",
            where=document.where(*keys, "logicalTypeOptions", "format"),
            next_step=f"Use one of {', '.join(DATE_FORMATS)}.",
        )
    codes: tuple[Code, ...] = tuple(code["value"] for code in entry.get("enum", []))
    right = {"integer": (int,), "number": (int, float), "string": (str,), "date": ()}[kind]
    if any(isinstance(code, bool) or not isinstance(code, right) for code in codes):
        raise BadInputError(
            f"A code of {entry['name']} is not of its type, {kind}.",
            where=document.where(*keys, "enum"),
            next_step="Quote texts, leave numbers bare.",
        )
    return Domain(
        type=cast("Type", kind),
        required=entry.get("required", False),
        codes=codes,
        minimum=_bound(document, keys, kind, options, "minimum"),
        maximum=_bound(document, keys, kind, options, "maximum"),
        format=written,
    )


def _bound(
    document: Document, keys: tuple[Key, ...], kind: str, options: dict[str, Any], which: Literal["minimum", "maximum"]
) -> Bound | None:
    value = options.get(which)
    if value is None or kind != "date":
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise BadInputError(
            f"The {which} is not a date.",
            where=document.where(*keys, "logicalTypeOptions", which),
            next_step='Write it in quotes as "2026-12-31".',
        ) from None


def _quality(document: Document, keys: tuple[Key, ...], part: dict[str, Any], column: str | None) -> list[QualityRule]:
    rules = []
    metric = "rowCount" if column is None else "nullValues"
    for index, entry in enumerate(part.get("quality", [])):
        operators = [key for key in entry if key.startswith("must")]
        fits = (
            entry.get("type", "library") == "library"
            and entry.get("metric") == metric
            and len(operators) == 1
            and operators[0] in OPERATORS
            and isinstance(entry[operators[0]], int | float)
            and entry.get("unit", "rows") in {"rows", "percent"}
        )
        if not fits:
            raise BadInputError(
                "Datalab cannot check this quality rule.",
                where=document.where(*keys, "quality", index),
                next_step=f"Use metric {metric} here, with one of {', '.join(OPERATORS)} and a number.",
            )
        percent = entry.get("unit") == "percent"
        bound = f"{_IN_WORDS[OPERATORS[operators[0]]]} {entry[operators[0]]}{' percent of the' if percent else ''} rows"
        sentence = f"{column} is missing in {bound}." if column else f"The table has {bound}."
        rules.append(
            QualityRule(
                name=entry.get("name", f"{column or 'table'}: {metric}"),
                description=_text(entry, "description") or sentence,
                metric="rowCount" if column is None else "nullValues",
                column=column,
                operator=OPERATORS[operators[0]],
                bound=float(entry[operators[0]]),
                percent=percent,
            )
        )
    return rules


def _properties(document: Document, at: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the properties of a schema object with their positions; names are unique and plain."""
    entries: list[dict[str, Any]] = document.data["schema"][at].get("properties", [])
    for index, entry in enumerate(entries):
        if not _NAME.fullmatch(entry["name"]):
            raise BadInputError(
                f"{entry['name']} is not a column name that Datalab takes.",
                where=document.where("schema", at, "properties", index),
                next_step="Use lower-case letters, digits and _; the file's own name goes to physicalName.",
            )
    if not entries:
        raise BadInputError(
            "The schema object has no properties.", where=document.where("schema", at), next_step="List its columns."
        )
    _unique(document, at, (entry["name"] for entry in entries), "name")
    return list(enumerate(entries))


def _unique(document: Document, at: int, names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise BadInputError(
                f"Two columns have the {what} {name}.",
                where=document.where("schema", at, "properties", index),
                next_step="Give each column its own.",
            )
        seen.add(name)


def _known(document: Document, names: Iterable[str], known: Collection[str], what: str, *keys: Key) -> None:
    for name in names:
        if name not in known:
            raise BadInputError(
                f"{name} cannot be {what}: there is no such column, or it is dropped at the holder.",
                where=document.where(*keys),
                next_step=f"Choose from {', '.join(sorted(known))}.",
            )


def _no_other_keys(document: Document, keys: tuple[Key, ...], entry: dict[str, Any], known: set[str]) -> None:
    other = sorted(set(entry) - known)
    if other:
        raise BadInputError(
            f"Datalab does not carry out {other[0]} here, so the contract would promise more than is done.",
            where=document.where(*keys, other[0]),
            next_step="Leave it out, or say it in the description.",
        )


def _check_outcome(document: Document, keys: tuple[Key, ...], column: HarmonisedColumn) -> None:
    if column.domain.type != "integer" or set(column.domain.codes) != {0, 1} or not column.domain.required:
        raise BadInputError(
            f"The outcome {column.name} must be a required integer with the codes 0 and 1.",
            where=document.where(*keys),
            next_step="Give it required: true and an enum of 0 and 1.",
        )


def _text(entry: dict[str, Any], key: str) -> str:
    return " ".join(str(entry.get(key, "")).split())
