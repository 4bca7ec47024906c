"""A permit to vary, and the key that signs it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from datalab.permits.claims import PermitClaims
from datalab.permits.keys import generate_key

NOW = datetime(2026, 6, 1, tzinfo=UTC)
APP = "a" * 64


def claims(**changes: Any) -> PermitClaims:
    """A permit for version 1 of ``cancer-nl``, in any app, over 2026."""
    return PermitClaims.model_validate(
        {
            "id": "HDAB-2026-1",
            "issuer": "Health data access body",
            "data_user": "University of Example",
            "people": ["Ada Researcher"],
            "project": "Recurrence of breast cancer",
            "purpose": "e-ii",
            "datasets": [{"id": "cancer-nl", "version": 1}],
            "not_before": "2026-01-01T00:00:00Z",
            "expires": "2027-01-01T00:00:00Z",
            **changes,
        }
    )


@pytest.fixture(scope="session")
def key() -> OKPKey:
    """The access body's key."""
    return generate_key()
