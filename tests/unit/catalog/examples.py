"""Records that tests start from; a test states only what it is about."""

from __future__ import annotations

from typing import Any

from catalog.records import AccountDraft, DatasetDraft, Role
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
    return draft(data_class="anonymous", access="public", licence="CC-BY-4.0", legal_basis=None, purposes=(), **changes)


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
