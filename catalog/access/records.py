"""Projects and access requests, as they are stored and as they cross the API."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from catalog.access.transitions import State, Step
from catalog.records import Line, Number, Prose, Record, Role, Sha256, Slug, Web
from datalab.permits.claims import PermitClaims, Purpose, Text

People = Annotated[tuple[Slug, ...], Field(max_length=200)]
"""Names of accounts."""
MOST_MONTHS = 120
"""Ten years: the longest that a permit may hold (EHDS Art. 68(12))."""
MOST_ENTRIES = 1000
RESERVED = frozenset({Purpose.PUBLIC_HEALTH, Purpose.POLICY, Purpose.STATISTICS})
"""Purposes for public bodies and Union institutions, or who acts for one (EHDS Art. 53(2))."""


class ProjectDraft(Record):
    """A project as a researcher states it; who states it is always one of its people."""

    title: Line
    description: Prose = ""
    people: People = ()


class Project(ProjectDraft):
    """What data is used for, and the people of one organisation who use it."""

    id: Slug
    organisation: Slug
    created: AwareDatetime
    updated: AwareDatetime
    revision: Number


class Kind(StrEnum):
    """What is asked for: the use of data (EHDS Art. 67), or an anonymised statistic alone (Art. 69)."""

    DATA = "data"
    STATISTIC = "statistic"


class RequestContent(Record):
    """What the applicant writes. A draft may lack anything; ``catalog.access.policy.lacks`` says what.

    Attributes:
        purpose: one of EHDS Art. 53(1).
        datasets: ids of the datasets.
        people: accounts of who would use the data; none for a statistic.
        months: how long from the decision on; none for a statistic.
        aim: what is to be found out or made and how, and the benefit expected; or the statistic that is asked for.
        mandate: for a purpose that is reserved, which public body the applicant is or acts for.
        why_personal: why anonymous data would not do.
        safeguards: against misuse and identification, beyond those of the lab.
        ethics: ethical aspects, such as the opinion of a board.
        undertaken: that nothing which Art. 54 forbids will be done, and nobody be identified.
    """

    purpose: Purpose | None = None
    datasets: Annotated[tuple[Slug, ...], Field(max_length=100)] = ()
    people: People = ()
    months: Annotated[int, Field(ge=1, le=MOST_MONTHS)] | None = None
    aim: Prose = ""
    mandate: Prose = ""
    why_personal: Prose = ""
    safeguards: Prose = ""
    ethics: Prose = ""
    undertaken: bool = False


class RequestDraft(RequestContent):
    """A request as it is begun."""

    kind: Kind = Kind.DATA
    project: Slug


class Terms(Record):
    """On what terms a request is approved: the permit says the same.

    Attributes:
        until: last day on which the permit holds (UTC); None for a statistic.
        conditions: what the data user must keep to.
        apps: SHA-256 of the only apps that may be used; empty: any that the nodes approve.
        release: whether what runs leave behind may leave the lab only once it is released.
    """

    until: date | None = None
    conditions: Annotated[tuple[Text, ...], Field(max_length=50)] = ()
    apps: Annotated[tuple[Sha256, ...], Field(max_length=100)] = ()
    release: bool = False


class Approval(Record):
    """Who approved, and when."""

    by: Slug
    time: AwareDatetime


class Entry(Record):
    """A comment, or the reason or answer that came with a step."""

    by: Slug
    role: Role
    time: AwareDatetime
    step: Step | None = None
    text: Prose


class Reason(Record):
    """What somebody says about a request."""

    text: Annotated[Prose, Field(min_length=1)]


class AccessRequest(RequestDraft):
    """An access request on record.

    Attributes:
        project_title: the project's, as it was when the request was last submitted.
        renews: the permit that this one would follow.
        holders: the data holders of its datasets, since it was submitted.
        steward_of: the data holder whose steward decides; None where an access body does.
        two_people: whether two of those who decide have to approve.
        terms: on what terms it is or will be approved.
        approvals: who has approved these terms.
        claims: what the permit has to say; there once the request is approved.
        permit: id of the permit, once it is granted.
    """

    id: Slug
    organisation: Slug
    applicant: Slug
    project_title: Line
    state: State
    renews: Line | None = None
    holders: tuple[Slug, ...] = ()
    steward_of: Slug | None = None
    two_people: bool = False
    terms: Terms | None = None
    approvals: tuple[Approval, ...] = ()
    claims: PermitClaims | None = None
    permit: Line | None = None
    thread: Annotated[tuple[Entry, ...], Field(max_length=MOST_ENTRIES)] = ()
    created: AwareDatetime
    updated: AwareDatetime
    submitted: AwareDatetime | None = None
    decided: AwareDatetime | None = None
    revision: Number


class RegisterEntry(Record):
    """What the public register says of a permit, and of what came of it: no person's name (EHDS Art. 57(1)(j), 68).

    Attributes:
        kind: the use of data under a permit, or an anonymised statistic.
        state: of the permit; ``answered`` for a statistic.
        results: what the data user published, or the statistic itself.
    """

    id: Line
    kind: Kind
    project: Line
    data_user: Text
    decided_by: Text
    purpose: Purpose
    datasets: tuple[Line, ...]
    conditions: tuple[Text, ...]
    not_before: AwareDatetime
    expires: AwareDatetime | None
    state: Literal["active", "renewed", "expired", "revoked", "answered"]
    results: tuple[str, ...] = ()


class PermitDraft(Record):
    """A signed data permit (compact JWS) to be recorded."""

    token: Annotated[str, Field(max_length=64_000, pattern=r"^[A-Za-z0-9_.-]+$")]


class ResultDraft(Record):
    """What came of a permit, in the data user's words, and where it is published."""

    title: Line
    url: Web | None = None


class Result(ResultDraft):
    """A result on record."""

    by: Slug
    time: AwareDatetime


class PermitRecord(PermitDraft):
    """A permit whose signature the lab has verified against the keys that it pins.

    Attributes:
        steward_of: the data holder whose steward signed it; None: an access body did.
        request: the access request that it answers, where it was made in this lab.
        project: that request's project.
        renewed_by: the permit that follows it.
        results: what was published under it.
    """

    id: Line
    claims: PermitClaims
    recorded_by: Line
    created: AwareDatetime
    revoked: AwareDatetime | None = None
    steward_of: Slug | None = None
    request: Slug | None = None
    project: Slug | None = None
    renewed_by: Line | None = None
    results: Annotated[tuple[Result, ...], Field(max_length=200)] = ()
