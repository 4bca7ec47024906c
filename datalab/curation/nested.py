"""What a contract says of its source's format, checked: which properties go with which format, and columns' paths."""

from __future__ import annotations

from datalab.curation.extensions import OfExport, OfExportColumn
from datalab.curation.odcs import PREFIX, Document, Key
from datalab.curation.paths import Key as Named
from datalab.curation.paths import Path, PathError, parse_path
from datalab.errors import BadInputError

NESTED = frozenset({"json", "fhir"})
_ONLY_WITH = {
    "records": {"json"},
    "resourceType": {"fhir"},
    "delimiter": {"csv"},
    "header": {"csv"},
    "encoding": {"csv"},
}


def check_format(document: Document, own: OfExport, *keys: Key) -> None:
    """Raise BadInputError where the export has a property that its format has no use for, or lacks one."""
    where = document.where(*keys, "customProperties")
    given = document.extensions({field.alias or "" for field in OfExport.model_fields.values()}, *keys)
    for name, formats in _ONLY_WITH.items():
        if name in given and own.format not in formats:
            raise BadInputError(
                f"{PREFIX}{name} says nothing of a file in the format {own.format}.",
                where=where,
                next_step=f"Leave it out, or set {PREFIX}format to {' or '.join(sorted(formats))}.",
            )
    if own.format == "fhir" and not own.resource_type:
        raise BadInputError(
            f"The contract does not say which FHIR resources are the records, with {PREFIX}resourceType.",
            where=where,
            next_step="Name one, such as Patient; each resource type has a contract of its own.",
        )


def path_of(document: Document, keys: tuple[Key, ...], own: OfExportColumn, header: str, *, nested: bool) -> Path:
    """Return where a column stands in a nested record: at its path, or under its name; nowhere in a flat file.

    Raises:
        BadInputError: the path is not one, or the format has none.
    """
    where = document.where(*keys, "customProperties")
    if own.path and not nested:
        raise BadInputError(
            f"A column has a {PREFIX}path, but the file is flat.",
            where=where,
            next_step=f"Leave it out, or set {PREFIX}format of the export to json or fhir.",
        )
    if not nested:
        return ()
    if not own.path:
        return (Named(header),)
    try:
        return parse_path(own.path)
    except PathError as error:
        raise BadInputError(
            f"{own.path} is not a path: {error}.",
            where=where,
            next_step='Write keys with points between them, such as name[0].family or coding[system="…"].code.',
        ) from None
