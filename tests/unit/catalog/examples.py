"""Records that tests start from; a test states only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from catalog.records import AccountDraft, Dataset, DatasetDraft, Role, StoredFile, Version
from catalog.standards.vocabulary import health_category
from datalab.curation.report import CurationReport

SHA = "ab" * 32


def draft(**changes: Any) -> DatasetDraft:
    """Personal data of a German group, kept at the lab."""
    return DatasetDraft.model_validate(
        {
            "id": "gbsg",
            "title": "German Breast Cancer Study Group trial",
            "holder": "gbsg",
            "holder_name": "German Breast Cancer Study Group",
            "country": "DE",
            "steward": "Data office",
            "theme": "HEAL",
            "access": "restricted",
            "data_class": "personal",
            "kept_at": "lab",
            "contract_id": "gbsg",
            "contract_version": "1.0.0",
            "legal_basis": "GDPR Art. 9(2)(j)",
            "purposes": ("e",),
            **changes,
        }
    )


def at_site(**changes: Any) -> DatasetDraft:
    """The same data, kept at the holder's node."""
    return draft(kept_at="site", node="rotterdam", access="federated-only", **changes)


def anonymous(**changes: Any) -> DatasetDraft:
    """Public, anonymous data kept at the lab."""
    terms = {"data_class": "anonymous", "access": "public", "licence": "CC-BY-4.0", "legal_basis": None, "purposes": ()}
    return draft(**{**terms, **changes})


def described(**changes: Any) -> dict[str, Any]:
    """What a steward states who wants a dataset to be found everywhere; fields of a draft."""
    return {
        "description": "Node-positive patients of a randomised trial.",
        "keywords": ("breast cancer", "trial"),
        "contact": {"name": "Data office", "email": "data@example.org"},
        "provenance": "Case report forms of the trial, 1984 to 1989.",
        "temporal": {"start": "1984-07-01", "end": "1989-12-31"},
        "spatial": ("DE", "BR"),
        "health_categories": (health_category("EHCT"),),
        "health_themes": ("https://www.wikidata.org/entity/Q128581",),
        "hdab": {"name": "Access body", "contact": {"name": "Office", "url": "https://example.org/hdab"}},
        "population": "Women with node-positive breast cancer",
        "min_age": 21,
        "max_age": 80,
        "individuals": 686,
        "code_systems": ("https://www.wikidata.org/entity/P494",),
        "retention": {"end": "2040-12-31"},
        "analytics": "https://example.org/analysis",
        "collection": "By the treating hospitals.",
        "biases": "Only patients who gave consent.",
        "limitations": "No patients without affected nodes.",
        **changes,
    }


def registered(stated: DatasetDraft) -> Dataset:
    """The record that registering a draft makes."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Dataset(**stated.model_dump(), created=moment, updated=moment, revision=1)


def version(stated: DatasetDraft, *, files: int = 1, **changes: Any) -> Version:
    """The first version of a dataset: published with its files, or announced by its node."""
    kept = stated.kept_at == "lab"
    return Version(
        dataset=stated.id,
        number=1,
        state="published" if kept else "announced",
        report=report(**changes),
        files=tuple(StoredFile(key=f"lake/{n}.parquet", sha256=SHA, bytes=100) for n in range(files if kept else 0)),
        created=datetime(2026, 1, 3, tzinfo=UTC),
        announced_by=stated.node,
    )


def report(**changes: Any) -> CurationReport:
    """A quality record of three rows in two columns."""
    return CurationReport.model_validate(
        {
            "contract_id": "gbsg",
            "contract_version": "1.0.0",
            "contract_digest": SHA,
            "raw_sha256": SHA,
            "rows_in": 5,
            "rows": 3,
            "rejected_rows": 1,
            "excluded": {"censored": 1},
            "events": 1,
            "disclosure_threshold": 10,
            "checks": [{"name": "every row is accounted for", "passed": True, "detail": "5 = 3 + 1 + 1"}],
            "columns": [
                {"name": "age", "type": "double", "unit": "a", "description": "age"},
                {"name": "event", "type": "integer", "unit": None, "description": "event"},
            ],
            "parquet_sha256": SHA,
            "parquet_bytes": 100,
            **changes,
        }
    )


def account(role: Role = Role.OPERATOR, *, organisation: str = "lab") -> AccountDraft:
    """An account of one role."""
    return AccountDraft(name=f"some-{role}", role=role, organisation=organisation)
