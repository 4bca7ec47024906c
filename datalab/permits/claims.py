"""What a data permit says."""

from __future__ import annotations

import operator
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Purpose(StrEnum):
    """Purposes that a permit may name: Regulation (EU) 2025/327, Article 53(1), by their letters."""

    PUBLIC_HEALTH = "a"
    POLICY = "b"
    STATISTICS = "c"
    EDUCATION = "d"
    RESEARCH = "e"
    RESEARCH_PRODUCTS = "e-i"
    RESEARCH_ALGORITHMS = "e-ii"
    CARE = "f"

    @property
    def label(self) -> str:
        """The purpose in words."""
        return _LABELS[self]


_LABELS = {
    Purpose.PUBLIC_HEALTH: "public or occupational health",
    Purpose.POLICY: "policymaking and regulatory activities",
    Purpose.STATISTICS: "official statistics",
    Purpose.EDUCATION: "education or teaching in health or care",
    Purpose.RESEARCH: "scientific research in health or care",
    Purpose.RESEARCH_PRODUCTS: "research: development and innovation of products or services",
    Purpose.RESEARCH_ALGORITHMS: "research: training, testing and evaluating algorithms",
    Purpose.CARE: "improving the delivery of care",
}


class PermittedDataset(BaseModel):
    """A dataset that may be used; in any version where none is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Text
    version: Annotated[int, Field(ge=1)] | None = None


class PermitClaims(BaseModel):
    """What a data permit says; its size is bounded, and unknown claims are refused.

    Attributes:
        id: the permit's own name, unique with its issuer.
        issuer: who decided: a health data access body, or the data's steward.
        data_user: the organisation that may use the data.
        people: who may, of that organisation.
        project: what it is for, in the applicant's words.
        purpose: what it is for in law.
        datasets: what may be used.
        apps: SHA-256 of the app bundles that may run on it; empty: any that the node approves.
        conditions: what the data user must keep to, for people to read.
        release: whether what runs leave behind may leave the lab only once whoever decided has released it. Left out
            where it is not so, as in permits of before there was this claim.
        not_before: start of the permit.
        expires: its end; at this instant it no longer holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    issuer: Text
    data_user: Text
    people: Annotated[tuple[Text, ...], Field(min_length=1, max_length=200)]
    project: Text
    purpose: Purpose
    datasets: Annotated[tuple[PermittedDataset, ...], Field(min_length=1, max_length=500)]
    apps: Annotated[tuple[Sha256, ...], Field(max_length=100)] = ()
    conditions: Annotated[tuple[Text, ...], Field(max_length=50)] = ()
    release: Annotated[bool, Field(exclude_if=operator.not_)] = False
    not_before: AwareDatetime
    expires: AwareDatetime

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.expires <= self.not_before:
            raise ValueError("expires must be later than not_before")
        return self
