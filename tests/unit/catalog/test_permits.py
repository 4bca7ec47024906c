from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from catalog import permits, revocation
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import Role
from catalog.store import Store, now
from datalab.errors import RefusedError
from datalab.permits.claims import PermitClaims
from datalab.permits.keys import generate_key, write_key_pair
from datalab.permits.permit import sign_permit
from tests.unit.catalog.examples import account


def claims(**changes: object) -> PermitClaims:
    return PermitClaims.model_validate(
        {
            "id": "P-1",
            "issuer": "Health data access body",
            "data_user": "University",
            "people": ["Dr A"],
            "project": "Recurrence",
            "purpose": "e",
            "datasets": [{"id": "gbsg"}],
            "not_before": now() - timedelta(days=1),
            "expires": now() + timedelta(days=1),
            **changes,
        }
    )


def test_a_permit_of_a_pinned_key_is_recorded_once_and_can_be_revoked(tmp_path: Path) -> None:
    store, key = Store(tmp_path / "records.duckdb"), generate_key()
    pinned = tmp_path / "permit-keys"
    pinned.mkdir()
    body = account(Role.ACCESS_BODY)
    token = sign_permit(claims(), key)
    with pytest.raises(NotPermittedError, match="pins no key"):
        permits.record(store, token, pinned, body)
    _, public = write_key_pair(key, tmp_path)
    public.rename(pinned / "access-body.jwk")

    recorded = permits.record(store, token, pinned, body)
    assert (recorded.id, recorded.claims.purpose, recorded.revoked) == ("P-1", "e", None)
    assert permits.record(store, token, pinned, body) == recorded
    with pytest.raises(ConflictError, match="Another permit"):
        permits.record(store, sign_permit(claims(project="Other"), key), pinned, body)
    with pytest.raises(RefusedError):
        permits.record(store, sign_permit(claims(id="P-2"), generate_key()), pinned, body)

    permits.check_not_revoked(store, "P-1")
    revoked = revocation.revoke(store, "P-1", body)
    assert revocation.revoke(store, "P-1", body).revoked == revoked.revoked is not None
    with pytest.raises(NotPermittedError, match="revoked"):
        permits.check_not_revoked(store, "P-1")
    store.close()
