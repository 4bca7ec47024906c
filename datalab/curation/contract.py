"""A data contract as Datalab uses it: the export that a holder makes, and the harmonised table that comes out of it.

A contract is an Open Data Contract Standard v3 file with two schema objects, ``export`` and ``harmonised``. From the
standard come names, types (``integer``, ``number``, ``string`` and, in the export, ``date``), ``required``, code lists
(``enum``), ranges (``logicalTypeOptions`` with ``minimum`` and ``maximum``), how dates are written (``format`` there,
``yyyy-MM-dd`` unless it is said), ``transformLogic`` (an SQL expression over the columns of the
export) and ``quality`` rules (type ``library``, metrics ``nullValues`` and ``rowCount``). What the standard has no word
for is said in custom properties:

=============================== ====================== ================================================================
Custom property                 Stands at              Meaning
=============================== ====================== ================================================================
``datalab.disclosureThreshold`` contract               smallest count that may be told outside the holder; default 10
``datalab.onReject``            contract               ``continue`` (default): the other rows go on; ``stop``: none does
``datalab.format``              export                 ``csv`` (default), ``json``, ``fhir`` or ``parquet``
``datalab.records``             export                 of ``json``: the key of the list in which the records stand
``datalab.resourceType``        export                 of ``fhir``: which resources are the records, such as ``Patient``
``datalab.path``                column of the export   of ``json`` and ``fhir``: where the value stands in the record,
                                                       such as ``name[0].family``; its physicalName unless it is given
``datalab.delimiter``           export                 ``,`` (default), ``;``, ``|`` or a tab
``datalab.header``              export                 whether the first record names the columns; default true
``datalab.encoding``            export                 ``utf-8`` (default), ``iso-8859-1`` or ``windows-1252``
``datalab.decimal``             export                 ``.`` (default) or ``,``; thousands are never set apart
``datalab.missing``             export                 texts that mean "no value", besides an empty field
``datalab.kAnonymity``          export                 ``k``, ``quasiIdentifiers`` (columns of the export) and
                                                       ``lossLimit``: the share of rows that may be left out for it
``datalab.lDiversity``          export                 ``l``: each class has so many values of the ``sensitive`` columns
``datalab.tCloseness``          export                 ``t``: so near is each class to all rows in ``sensitive`` columns
``datalab.unit``                any column             unit of the values (UCUM)
``datalab.convert``             column of harmonised   a column of the export, in this one's unit
``datalab.codes``               column of harmonised   a column of the export, in the codes of another system
``datalab.deidentify``          column of the export   ``keep`` (default); ``drop``: an identifier, or not needed, that
                                                       never leaves the holder; ``band: 5``: only in bands this wide
``datalab.exclusions``          harmonised             list of ``name``, ``expression``, ``reason``; the first that is
                                                       true for a row leaves it out and counts it
``datalab.sortBy``              harmonised             columns that the table is sorted by first
``datalab.system``              column of harmonised   the code system that its values are codes of already
``datalab.role``                column of harmonised   ``predictor`` (default); ``outcome``: 1 is an event, 0 is none;
                                                       ``pseudonym``: by which the holder knows the person
=============================== ====================== ================================================================

Spaces around a value do not count. An ``integer`` may be written with zero decimals (``63.0``), as table programs do.
A file may be packed with gzip, unless it is Parquet. One date less another is a number of days. De-identification is
told in full in ``docs/data-contracts.md``.

Any other ``datalab.*`` property is an error. So is a key of the standard that Datalab would not carry out.
"""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from datetime import date
from typing import Literal

from datalab.curation.expressions import Expression
from datalab.curation.paths import Path
from datalab.curation.source import Encoding

Type = Literal["integer", "number", "string", "date"]
Format = Literal["csv", "json", "fhir", "parquet"]
Code = str | int | float
Bound = float | date
DATE_FORMATS = {
    "yyyy-MM-dd": "%Y-%m-%d",
    "yyyyMMdd": "%Y%m%d",
    "dd.MM.yyyy": "%d.%m.%Y",
    "dd/MM/yyyy": "%d/%m/%Y",
    "dd-MM-yyyy": "%d-%m-%Y",
    "MM/dd/yyyy": "%m/%d/%Y",
}
"""How exports write dates: the standard's pattern, and DuckDB's. Years of two digits are not among them."""


@dataclass(frozen=True)
class Domain:
    """The values that a column may take; None or an empty list where the contract sets no bound.

    Attributes:
        format: how a date is written, one of ``DATE_FORMATS``.
    """

    type: Type
    required: bool = False
    codes: tuple[Code, ...] = ()
    minimum: Bound | None = None
    maximum: Bound | None = None
    format: str = "yyyy-MM-dd"


@dataclass(frozen=True)
class Level:
    """One way of telling a value less exactly; a column's levels are its hierarchy, the least coarse first.

    Attributes:
        kind: ``band`` of whole numbers, ``prefix`` of a text, ``chapter`` of ICD-10, ``map`` of codes, or ``period``,
            the first day of it.
        width: of the band, or the characters of the prefix.
        period: for dates.
        pairs: for maps, each code and what it becomes.
    """

    kind: Literal["band", "prefix", "chapter", "map", "period"]
    width: int = 0
    period: Literal["month", "quarter", "year", "decade"] = "year"
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ExportColumn:
    """A column as the holder exports it.

    Attributes:
        name: how expressions call it.
        header: how the file's first record calls it (``physicalName``).
        drop: whether it stays with the holder.
        levels: how it is generalised; at least the first level is applied before it leaves the holder.
        pseudonym: the domain of the keyed pseudonyms that replace its values, or None.
        shift: most days by which a person's dates are moved; 0 leaves them.
        free_text: whether it is withheld because it is prose, and scanned for what it would have told.
        path: where it stands in a nested record.
    """

    name: str
    header: str
    unit: str | None
    description: str
    domain: Domain
    drop: bool = False
    levels: tuple[Level, ...] = ()
    pseudonym: str | None = None
    shift: int = 0
    free_text: bool = False
    path: Path = ()

    @property
    def band(self) -> int | None:
        """The width of the narrowest bands that it is prepared in, or None."""
        return self.levels[0].width if self.levels and self.levels[0].kind == "band" else None

    @property
    def arrives_as(self) -> Type:
        """The type of its values once they are de-identified; of a band, the middle is a number."""
        if self.pseudonym is not None:
            return "string"
        if not self.levels or self.levels[0].kind == "period":
            return self.domain.type
        return "number" if self.levels[0].kind == "band" else "string"


@dataclass(frozen=True)
class Privacy:
    """What each class of rows that are alike in the quasi-identifiers must be, and what that may cost.

    Attributes:
        k: rows that a class has at least (k-anonymity: Sweeney 2002).
        l: values of each sensitive column that it has at least (distinct l-diversity: Machanavajjhala et al. 2007).
        t: the most by which its sensitive values may be distributed otherwise than those of all rows, from 0 to 1
            (t-closeness: Li, Li and Venkatasubramanian 2007).
        loss_limit: the largest share of the rows that may be left out, from 0 to 1.
    """

    k: int = 1
    quasi_identifiers: tuple[str, ...] = ()
    loss_limit: float = 1.0
    l: int = 1  # noqa: E741  # the literature's name
    l_sensitive: tuple[str, ...] = ()
    t: float = 1.0
    t_sensitive: tuple[str, ...] = ()

    @property
    def sensitive(self) -> tuple[str, ...]:
        """The columns that l-diversity or t-closeness are about."""
        return tuple(dict.fromkeys((*self.l_sensitive, *self.t_sensitive)))


@dataclass(frozen=True)
class Export:
    """The holder's file: how it is written, its columns, and the classes that de-identification must keep."""

    columns: tuple[ExportColumn, ...]
    format: Format = "csv"
    records: str = ""
    resource_type: str = ""
    delimiter: str = ","
    header: bool = True
    encoding: Encoding = "utf-8"
    decimal: str = "."
    missing: tuple[str, ...] = ()
    privacy: Privacy = Privacy()

    @property
    def k(self) -> int:
        """The smallest class that de-identification may leave."""
        return self.privacy.k

    @property
    def quasi_identifiers(self) -> tuple[str, ...]:
        """The columns that make a class."""
        return self.privacy.quasi_identifiers

    @property
    def needs_preparing(self) -> bool:
        """Whether something is to be done to the file at its holder before it may be handed in."""
        return self.k > 1 or any(one.drop or one.levels or one.pseudonym or one.shift for one in self.columns)

    @property
    def person(self) -> ExportColumn | None:
        """The column by which the holder knows a person, if it is pseudonymised."""
        return next((column for column in self.columns if column.pseudonym is not None), None)

    def arriving(self, *, prepared: bool) -> tuple[ExportColumn, ...]:
        """Return the columns of the raw file, or of the file that ``prepare`` makes of it."""
        return tuple(column for column in self.columns if not (prepared and column.drop))


@dataclass(frozen=True)
class HarmonisedColumn:
    """A column that training sees, and how it is computed from a row of the export.

    Attributes:
        code_system: of its codes, such as ``http://snomed.info/sct``, or None.
        mapped: codes that it was mapped to; a value that is none of them is a local code without one.
        classification: how sensitive it is, in the contract's own words, or None.
    """

    name: str
    unit: str | None
    description: str
    domain: Domain
    expression: Expression
    code_system: str | None = None
    mapped: tuple[str, ...] = ()
    classification: str | None = None


@dataclass(frozen=True)
class Exclusion:
    """Rows that are valid but not part of the study."""

    name: str
    expression: Expression
    reason: str


@dataclass(frozen=True)
class QualityRule:
    """A rule on a count: ``metric`` compared by the operator with the bound, in rows or percent of the rows."""

    name: str
    description: str
    metric: Literal["nullValues", "rowCount"]
    column: str | None
    operator: str
    bound: float
    percent: bool


@dataclass(frozen=True)
class Harmonised:
    """The table that comes out: columns in order, who is left out, how it is sorted, what is checked."""

    columns: tuple[HarmonisedColumn, ...]
    exclusions: tuple[Exclusion, ...] = ()
    sort_by: tuple[str, ...] = ()
    outcome: str | None = None
    pseudonym: str | None = None
    quality: tuple[QualityRule, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """All columns, those to sort by first: an order without ties between rows that differ."""
        return (*self.sort_by, *(column.name for column in self.columns if column.name not in self.sort_by))


@dataclass(frozen=True)
class Contract:
    """One data contract; ``digest`` is the SHA-256 of its file."""

    id: str
    version: str
    title: str
    description: str
    digest: str
    export: Export
    harmonised: Harmonised
    disclosure_threshold: int = 10
    stop_on_reject: bool = False


def load_contract(path: pathlib.Path) -> Contract:
    """Read a contract file and check all of it.

    Raises:
        NotFoundError: there is no such file.
        BadInputError: it breaks the standard, uses an unknown ``datalab.*`` property, or computes what it may not.
    """
    from datalab.curation.odcs import read_document
    from datalab.curation.reading import read_contract

    return read_contract(read_document(path))
