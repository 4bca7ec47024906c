"""The forms of the ``datalab.*`` custom properties, one model for each place where they may stand.

What they mean is said once, in ``datalab.curation.contract``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from datalab.curation.contract import Format
from datalab.curation.odcs import PREFIX, Document, Key
from datalab.curation.source import Encoding
from datalab.errors import BadInputError


class Extensions(BaseModel):
    """Custom properties of one place; a field's name in camel case is that of the property, without the prefix."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_camel)


class OfContract(Extensions):
    """At the top of the contract."""

    disclosure_threshold: Annotated[int, Field(ge=1)] = 10
    on_reject: Literal["continue", "stop"] = "continue"


class KAnonymity(Extensions):
    """Every combination of the quasi-identifiers has at least ``k`` rows."""

    k: Annotated[int, Field(ge=2)]
    quasi_identifiers: Annotated[list[str], Field(min_length=1)]


class OfExport(Extensions):
    """At the schema object ``export``."""

    format: Format = "csv"
    records: Annotated[str, Field(max_length=100)] = ""
    resource_type: Annotated[str, Field(pattern=r"^([A-Z][A-Za-z]{1,60})?$")] = ""
    delimiter: Annotated[str, Field(pattern=r"^[,;|\t]$")] = ","
    header: bool = True
    encoding: Encoding = "utf-8"
    decimal: Literal[".", ","] = "."
    missing: list[str] = []
    k_anonymity: KAnonymity | None = None


class Band(Extensions):
    """Bands of this width, in the unit of the column, starting at multiples of it."""

    band: Annotated[int, Field(ge=2)]


class OfExportColumn(Extensions):
    """At a column of the export."""

    unit: str | None = None
    deidentify: Literal["keep", "drop"] | Band = "keep"
    path: Annotated[str, Field(max_length=500)] = ""


class ExclusionForm(Extensions):
    """One entry of ``datalab.exclusions``."""

    name: Annotated[str, Field(min_length=1)]
    expression: str
    reason: Annotated[str, Field(min_length=1)]


class OfHarmonised(Extensions):
    """At the schema object ``harmonised``."""

    exclusions: list[ExclusionForm] = []
    sort_by: list[str] = []


class OfHarmonisedColumn(Extensions):
    """At a column of the harmonised table."""

    unit: str | None = None
    role: Literal["predictor", "outcome", "pseudonym"] = "predictor"


Place = TypeVar("Place", bound=Extensions)


def read_extensions(document: Document, form: type[Place], *keys: Key) -> Place:
    """Return the ``datalab.*`` properties of the part at ``keys``.

    Raises:
        BadInputError: one is unknown there, stands twice, or does not have its form.
    """
    known = {field.alias for field in form.model_fields.values() if field.alias is not None}
    found = document.extensions(known, *keys)
    try:
        return form.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInputError(
            f"{PREFIX}{place} is not as it should be: {first['msg']}.",
            where=document.where(*keys, "customProperties"),
            next_step="See the table of custom properties in the documentation of contracts.",
        ) from None
