"""The forms of the ``datalab.*`` custom properties, one model for each place where they may stand.

What they mean is said once, in ``datalab.curation.contract``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from datalab.curation.contract import Format
from datalab.curation.odcs import PREFIX, Document, Key
from datalab.curation.source import Encoding
from datalab.errors import BadInputError

_Level = TypeVar("_Level")


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Levels = Annotated[list[_Level], BeforeValidator(_as_list), Field(min_length=1)]
"""One level, or a list of them from the least to the most coarse."""


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
    loss_limit: Annotated[float, Field(ge=0, le=1)] = 1.0


class LDiversity(Extensions):
    """Every class has at least ``l`` values of each sensitive column."""

    l: Annotated[int, Field(ge=2)]  # noqa: E741
    sensitive: Annotated[list[str], Field(min_length=1)]


class TCloseness(Extensions):
    """The sensitive values of no class are distributed more than ``t`` away from those of all rows."""

    t: Annotated[float, Field(gt=0, lt=1)]
    sensitive: Annotated[list[str], Field(min_length=1)]


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
    l_diversity: LDiversity | None = None
    t_closeness: TCloseness | None = None


class Band(Extensions):
    """Bands of this width, in the unit of the column, starting at multiples of it; several are a hierarchy."""

    band: Levels[Annotated[int, Field(ge=2)]]


class Prefix(Extensions):
    """The first characters only, as of a postal code; several numbers are a hierarchy, the longest first."""

    prefix: Levels[Annotated[int, Field(ge=1)]]


class Nuts(Extensions):
    """A NUTS region at this level (3 is the finest, 0 the country)."""

    nuts: Levels[Annotated[int, Field(ge=0, le=3)]]


class Icd10(Extensions):
    """An ICD-10 code as its category (three characters) or its chapter (I to XXII)."""

    icd10: Levels[Literal["category", "chapter"]]


class ValueMap(Extensions):
    """Each code of the column's list becomes another; several maps are a hierarchy."""

    map: Levels[dict[str, str]]


class Period(Extensions):
    """A date as the first day of its month, quarter, year or decade."""

    period: Levels[Literal["month", "quarter", "year", "decade"]]


class PseudonymForm(Extensions):
    """Keyed pseudonyms that are the same in all contracts that name this domain."""

    pseudonym: Annotated[str, Field(min_length=1)]


class ShiftDays(Extensions):
    """Dates moved by up to so many days, all those of a person alike."""

    shift_days: Annotated[int, Field(ge=1, le=3650)]


Action = Band | Prefix | Nuts | Icd10 | ValueMap | Period | PseudonymForm | ShiftDays


class OfExportColumn(Extensions):
    """At a column of the export."""

    unit: str | None = None
    deidentify: Literal["keep", "drop", "pseudonym", "freeText"] | Action = "keep"
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


class Convert(Extensions):
    """The values of a column of the export, in the unit of this one."""

    column: str
    substance: str | None = None


class Codes(Extensions):
    """The codes of a column of the export, as codes of another system; a code without one is kept."""

    column: str
    system: Annotated[str, Field(min_length=1)]
    map: Annotated[dict[str, str], Field(min_length=1)]


class OfHarmonisedColumn(Extensions):
    """At a column of the harmonised table."""

    unit: str | None = None
    convert: Convert | None = None
    codes: Codes | None = None
    system: Annotated[str, Field(min_length=1, max_length=300)] | None = None
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
