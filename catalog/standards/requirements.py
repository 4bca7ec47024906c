"""What each standard demands of a record, and what a record lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from catalog.records import DatasetDraft, Record, Version

Standard = Literal["dcat-ap", "healthdcat-ap", "croissant", "odrl", "frictionless"]
STANDARDS: tuple[Standard, ...] = get_args(Standard)
CatalogueForm = Literal[
    "dcat-ap", "dcat-ap.jsonld", "dcat-ap.ttl", "healthdcat-ap", "healthdcat-ap.jsonld", "healthdcat-ap.ttl"
]
"""DCAT-AP, some with an ending that says in which notation; without, a request's Accept decides."""
OtherForm = Literal["croissant", "odrl", "frictionless", "schema.csv"]
Form = CatalogueForm | OtherForm
FORMS: tuple[str, ...] = (*get_args(CatalogueForm), *get_args(OtherForm))
_DESCRIBED = {"description": "A dataset without a description cannot be judged by anybody (dct:description)."}
_VERSION = {"version": "There is nothing to describe until a version is published or announced."}
REQUIRED: dict[Standard, dict[str, str]] = {
    "dcat-ap": _DESCRIBED,
    "healthdcat-ap": {
        **_DESCRIBED,
        "keywords": "At least one keyword lets people find the dataset (dcat:keyword).",
        "contact": "Data users have to be able to ask the data holder (dcat:contactPoint, dct:publisher).",
        "provenance": "The source of the data has to be stated (dct:provenance; EHDS Art. 77).",
        "hdab": "The health data access body that decides on requests has to be named (healthdcatap:hdab).",
        "health_categories": "At least one category of EHDS Art. 51(1) applies (healthdcatap:healthCategory).",
        "dataset_type": "The kind of the dataset has to be stated unless it is personal data (dct:type).",
        **_VERSION,
    },
    "croissant": {
        "description": "Croissant demands a description.",
        "licence": "Croissant demands the terms of use; data that may be passed on states a licence.",
        **_VERSION,
    },
    "odrl": {},
    "frictionless": _VERSION,
}
"""Per standard the fields of a record that may be empty elsewhere and may not be here, and why."""


class Missing(NamedTuple):
    """A field of a record that a standard demands and that is empty."""

    field: str
    why: str


def is_non_public(dataset: DatasetDraft) -> bool:
    """Return whether nobody is given the data itself, whatever permit they have."""
    return dataset.data_class == "personal" or dataset.access == "federated-only"


def applies(dataset: DatasetDraft, standard: Standard) -> bool:
    """Return whether a standard is meant for a dataset; HealthDCAT-AP is for non-public health data."""
    return standard != "healthdcat-ap" or (dataset.theme == "HEAL" and is_non_public(dataset))


def missing_for(dataset: DatasetDraft, version: Version | None, standard: Standard) -> list[Missing]:
    """Return, field by field, what a dataset lacks for a standard, and why it is needed.

    Args:
        dataset: the record.
        version: the version to be exported, or None where there is none.
        standard: by which it is to be exported.
    """
    implied = {"version"} if version else set()
    if dataset.data_class == "personal":
        # It says itself of what kind it is, and its terms are those of its ODRL offer.
        implied |= {"dataset_type", "licence"}
    demanded = REQUIRED[standard].items()
    return [Missing(name, why) for name, why in demanded if name not in implied and not getattr(dataset, name, None)]


class Readiness(Record):
    """How far a dataset is from a standard: whether it is meant for it, and the fields that are missing, with why."""

    standard: Standard
    applies: bool
    missing: dict[str, str]


def missing_lines(found: Iterable[Readiness]) -> list[str]:
    """Return what a steward is told: a line for each field that a standard demands and that is not stated."""
    return [f"Missing for {one.standard}: {field}. {why}" for one in found for field, why in one.missing.items()]


def readiness(dataset: DatasetDraft, version: Version | None) -> list[Readiness]:
    """Return for every standard what a steward still has to state."""
    return [
        Readiness(
            standard=one,
            applies=applies(dataset, one),
            missing=dict(missing_for(dataset, version, one)) if applies(dataset, one) else {},
        )
        for one in STANDARDS
    ]
