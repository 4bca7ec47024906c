"""The catalog's records, as they are stored and as they cross the API.

A ``…Draft`` is what a caller states; the record adds what the lab knows. Everything is bounded here, at the
boundary, so that nothing behind it meets a surprise. This module imports neither DuckDB nor a web framework.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from catalog.lineage import RunEvent
from datalab.curation.report import CurationReport

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
"""Names that appear in addresses and object keys: lower case, digits, hyphens; at most 64 characters."""
Line = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
Prose = Annotated[str, Field(max_length=10_000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _without_dots(key: str) -> str:
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise ValueError("a key has no empty part and no part of dots")
    return key


Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./=|-]{1,900}$"), AfterValidator(_without_dots)]
"""An object's name in the bucket."""
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""
Licence = Annotated[str, Field(pattern=r"^[A-Za-z0-9.+() -]{1,100}$")]
"""SPDX identifier or expression."""
Number = Annotated[int, Field(ge=1, le=1_000_000)]
Theme = Literal[
    "AGRI", "ECON", "EDUC", "ENER", "ENVI", "GOVE", "HEAL", "INTR", "JUST", "OP_DATPRO", "REGI", "SOCI",
    "TECH", "TRAN",
]  # fmt: skip
"""Code of the EU data-theme vocabulary (DCAT-AP ``dcat:theme``)."""
Language = Literal["en", "de", "fr"]
Modality = Literal["tabular", "time-series", "text", "imaging", "signal", "genomic", "geospatial", "other"]
"""What the data is made of."""
Keywords = Annotated[tuple[Line, ...], Field(max_length=50)]
Purpose = Literal["a", "b", "c", "d", "e", "f"]
"""Letter of EHDS Art. 53(1)."""


Email = Annotated[str, Field(max_length=254, pattern=r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+$")]
Web = Annotated[str, Field(max_length=1000, pattern=r"^https?://[^\s<>\"{}|\\^`\x00-\x20]+$")]
"""An address or IRI; nothing in it could break out of RDF or HTML."""
FEWEST = 10
"""Fewest people of whom a number may be stated in a record, which everybody can read."""
Age = Annotated[int, Field(ge=0, le=150)]

_MAX_TEXT = 5000
_MAX_LIST = 5000


def _bounded(report: CurationReport) -> CurationReport:
    """Hold a report, which a node or pipeline wrote, to the bounds that all other records have."""

    def check(value: Any) -> None:
        if isinstance(value, str) and (len(value) > _MAX_TEXT or _CONTROL.search(value)):
            raise ValueError("a text in the report is too long, or has control characters")
        if isinstance(value, dict):
            check([*value, *value.values()])
        elif isinstance(value, list | tuple):
            if len(value) > _MAX_LIST:
                raise ValueError("a list in the report is too long")
            for one in value:
                check(one)

    check(report.model_dump())
    for digest in (report.contract_digest, report.raw_sha256, report.parquet_sha256):
        if not _SHA256.fullmatch(digest):
            raise ValueError("a digest in the report is not a SHA-256")
    return report


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
Report = Annotated[CurationReport, AfterValidator(_bounded)]
"""A curation report, as it comes in."""


class Record(BaseModel):
    """Base of all records: immutable, and strict about what it is given; its errors name no value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Translation(Record):
    """A dataset's texts in another language than its own."""

    title: Line
    description: Prose = ""
    keywords: Keywords = ()


Translations = Annotated[dict[Language, Translation], Field(max_length=3)]


class Contact(Record):
    """Whom to ask: a name with an address for mail or a page, or both."""

    name: Line
    email: Email | None = None
    url: Web | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not (self.email or self.url):
            raise ValueError("a contact has an email address or a page")
        return self


class AccessBody(Record):
    """The health data access body (HDAB) that decides on a dataset."""

    name: Line
    contact: Contact


class Period(Record):
    """A period of time, open where a date is missing."""

    start: date | None = None
    end: date | None = None

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if not (self.start or self.end):
            raise ValueError("a period has a start or an end")
        if self.start and self.end and self.end < self.start:
            raise ValueError("a period ends after it starts")
        return self


class Particulars(Record):
    """What catalogues elsewhere want to know of a dataset; ``catalog.standards`` says which of them need what.

    Attributes:
        contact: of the data holder, for questions about the dataset.
        provenance: where the data comes from, and how it came to be.
        temporal: when what the data tells happened.
        spatial: the countries it tells of.
        dataset_type: IRI of the EU dataset-type vocabulary; that it is personal data need not be said again.
        health_categories: IRIs of the categories of EHDS Art. 51(1).
        health_themes: IRIs of what the data is about, such as a disease.
        hdab: the health data access body that decides on requests.
        population: whom the data is about.
        min_age: typical age of the youngest, in years.
        max_age: typical age of the oldest, in years.
        individuals: how many people; fewer than ten are not stated, and exports keep to the contract's threshold.
        code_systems: IRIs of the code systems in use.
        retention: how long the data is kept.
        analytics: page of a published analysis of the data.
        collection: how the data was collected.
        biases: known biases.
        limitations: what the data should not be used for, and its gaps.
    """

    contact: Contact | None = None
    provenance: Prose = ""
    temporal: Period | None = None
    spatial: Annotated[tuple[Country, ...], Field(max_length=250)] = ()
    dataset_type: Web | None = None
    health_categories: Annotated[tuple[Web, ...], Field(max_length=50)] = ()
    health_themes: Annotated[tuple[Web, ...], Field(max_length=50)] = ()
    hdab: AccessBody | None = None
    population: Prose = ""
    min_age: Age | None = None
    max_age: Age | None = None
    individuals: Annotated[int, Field(ge=FEWEST, le=10_000_000_000)] | None = None
    code_systems: Annotated[tuple[Web, ...], Field(max_length=50)] = ()
    retention: Period | None = None
    analytics: Web | None = None
    collection: Prose = ""
    biases: Prose = ""
    limitations: Prose = ""


class DatasetDraft(Particulars):
    """A dataset as its steward registers it.

    Attributes:
        language: of title, description and keywords; ``translations`` has them in others.
        holder: the data holder's identifier; its accounts carry the same one as their organisation.
        holder_name: the data holder's name, as people read it.
        steward: name or function of the person responsible at the holder.
        access: ``federated-only`` data is used in runs and nowhere else; ``restricted`` needs a permit.
        data_class: ``personal`` includes pseudonymised; it never leaves (EHDS Art. 73).
        kept_at: ``lab``: files in the lab's object storage; ``site``: at the holder's ``node``.
        legal_basis: the GDPR basis the holder relies on (Art. 6 and 9).
        purposes: purposes of EHDS Art. 53(1) that the holder offers the data for.
        two_people: whether two people have to approve a request for it.
        release: whether what runs on it leave behind may leave the lab only once it is released.
    """

    id: Slug
    title: Line
    description: Prose = ""
    keywords: Keywords = ()
    language: Language = "en"
    translations: Translations = {}
    modality: Modality | None = None
    holder: Slug
    holder_name: Line
    country: Country
    steward: Line
    theme: Theme
    licence: Licence | None = None
    access: Literal["public", "restricted", "federated-only"]
    data_class: Literal["anonymous", "personal"]
    kept_at: Literal["lab", "site"]
    node: Slug | None = None
    contract_id: Line
    contract_version: Line
    legal_basis: Line | None = None
    purposes: Annotated[tuple[Purpose, ...], Field(max_length=6)] = ()
    two_people: bool = False
    release: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kept_at == "site") != (self.node is not None):
            raise ValueError("a dataset kept at a site names its node, and one kept at the lab names none")
        if self.kept_at == "site" and self.access != "federated-only":
            raise ValueError("a dataset kept at a site is federated-only")
        if self.language in self.translations:
            raise ValueError("the texts in a dataset's own language are its own, not a translation")
        if self.data_class == "personal" and self.access == "public":
            raise ValueError("personal data cannot be public")
        if self.data_class == "personal" and not (self.legal_basis and self.purposes):
            raise ValueError("personal data needs a legal basis and at least one purpose")
        return self


class DatasetState(StrEnum):
    """Where a dataset stands. Everybody knows of published and withdrawn ones; withdrawn ones may not be used."""

    DRAFT = "draft"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"
    DELETED = "deleted"


DATASET_TRANSITIONS: dict[DatasetState, frozenset[DatasetState]] = {
    DatasetState.DRAFT: frozenset({DatasetState.PUBLISHED, DatasetState.DELETED}),
    DatasetState.PUBLISHED: frozenset({DatasetState.WITHDRAWN}),
    DatasetState.WITHDRAWN: frozenset({DatasetState.PUBLISHED, DatasetState.DELETED}),
    DatasetState.DELETED: frozenset({DatasetState.DRAFT}),
}
"""The one table of valid transitions of a dataset; one that is restored is a draft first."""


class StateChange(Record):
    """That a dataset is to be in another state, and why; whoever knows of the dataset can read the reason."""

    state: DatasetState
    reason: Line | None = None


class Hold(Record):
    """That nothing of a dataset is removed for its age, and why, such as a lawsuit; None releases it."""

    reason: Line | None = None


class Dataset(DatasetDraft):
    """A registered dataset; ``revision`` counts its changes, for optimistic locking.

    ``legal_hold`` says why nothing of it is removed for its age, where that is so.
    """

    legal_hold: Line | None = None
    state: DatasetState = DatasetState.PUBLISHED
    state_reason: Line | None = None
    created: AwareDatetime
    updated: AwareDatetime
    revision: Number


class DatasetPatch(Particulars):
    """What may change about a dataset after it is registered; fields left out stay as they are."""

    title: Line | None = None
    description: Prose | None = None
    keywords: Keywords | None = None
    translations: Translations | None = None
    modality: Modality | None = None
    holder_name: Line | None = None
    steward: Line | None = None
    theme: Theme | None = None
    licence: Licence | None = None
    access: Literal["public", "restricted", "federated-only"] | None = None
    contract_version: Line | None = None
    legal_basis: Line | None = None
    purposes: Annotated[tuple[Purpose, ...], Field(max_length=6)] | None = None
    two_people: bool = False
    release: bool = False


class StoredFile(Record):
    """A file in object storage: its key in the bucket, SHA-256 and size in bytes."""

    key: Key
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class PublishRequest(Record):
    """What a pipeline hands over for publishing.

    Attributes:
        intent: chosen by the pipeline; the same one always gives the same version, however often it is sent.
        files: curated Parquet under ``staging/<dataset>/``, in the order in which it is to be read.
        pipeline_run: the pipeline's own run id.
        lineage: OpenLineage run events of the stages that made the files (``catalog.lineage``).
    """

    intent: Slug
    files: Annotated[tuple[StoredFile, ...], Field(min_length=1, max_length=1000)]
    report: Report
    pipeline_run: Line
    lineage: Annotated[tuple[RunEvent, ...], Field(max_length=100)] = ()


class Announcement(Record):
    """What a node says about a version of a dataset it keeps: the public form of its curation report, and no data."""

    node: Slug
    version: Number
    report: Report


class Withdrawal(Record):
    """That a version may not be used any more: since when, by whom, and why."""

    at: AwareDatetime
    by: Line
    reason: Line


class Tombstone(Record):
    """That people were erased from a version: by which erasure, when, and what its digest was before."""

    erasure: Slug
    at: AwareDatetime
    sha256: Sha256


class Reason(Record):
    """Why something is done."""

    reason: Line


class Version(Record):
    """One immutable version of a dataset.

    Attributes:
        state: ``published``: files are in the lab's storage; ``announced``: they are at a node.
        report: the quality record; where the version was announced, small counts are withheld (None).
        files: empty where the version was announced.
        pipeline_run: the pipeline run that made it, or None.
        announced_by: the node that announced it, or None.
        withdrawn: why it may not be used any more, or None.
        erasures: when people were erased from it; report and files are those since.
        told: the report as everybody may read it, made when the version was, with the versions before in mind; None
            in records of before that.
    """

    dataset: Slug
    number: Number
    state: Literal["published", "announced"]
    report: CurationReport
    files: tuple[StoredFile, ...]
    created: AwareDatetime
    pipeline_run: Line | None = None
    announced_by: Slug | None = None
    withdrawn: Withdrawal | None = None
    erasures: tuple[Tombstone, ...] = ()
    told: CurationReport | None = None

    @property
    def public(self) -> CurationReport:
        """The report as everybody may read it."""
        return self.told or self.report.public()

    @property
    def checks_passed(self) -> int:
        """How many quality checks passed."""
        return sum(check.passed for check in self.report.checks)

    @property
    def checks_failed(self) -> int:
        """How many quality checks failed."""
        return len(self.report.checks) - self.checks_passed


class Role(StrEnum):
    """What an account is; ``catalog.permissions`` says what each may do."""

    OPERATOR = "operator"
    STEWARD = "steward"
    RESEARCHER = "researcher"
    ACCESS_BODY = "access-body"
    AUDITOR = "auditor"
    PIPELINE = "pipeline"
    GATEWAY = "gateway"
    COMPUTE = "compute"
    RUNNER = "runner"


class AccountDraft(Record):
    """A person's or service's account; ``organisation`` is a data holder's or data user's identifier."""

    name: Slug
    role: Role
    organisation: Slug


class IssuedAccount(AccountDraft):
    """A new account with its bearer token, which is shown this once and stored nowhere."""

    token: str


class Invitation(AccountDraft):
    """A person's account with the one-time code to choose a password with, shown this once and stored nowhere."""

    code: str
    expires: AwareDatetime


class PersonalToken(Record):
    """A personal API token on record; the token itself is not."""

    id: Slug
    account: Slug
    label: Line
    created: AwareDatetime
    expires: AwareDatetime
    scopes: tuple[Literal["read", "write", "decide"], ...] = ("read",)
