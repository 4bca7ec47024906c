"""Lists of revoked permits: signed, and not older than a node accepts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from joserfc.jwk import OKPKey

from datalab.permits.errors import PermitError, Reason
from datalab.permits.keys import generate_key
from datalab.permits.permit import sign_permit
from datalab.permits.revocation import sign_revocations, verify_revocations
from tests.unit.permits.conftest import NOW, claims

DAY = timedelta(days=1)


def test_a_listed_permit_is_revoked_and_another_is_not(key: OKPKey) -> None:
    token = sign_revocations(["HDAB-2026-1"], key, issued=NOW)
    revoked = verify_revocations(token, [key], now=NOW + DAY, max_age=DAY)
    with pytest.raises(PermitError) as error:
        revoked.check(claims())
    assert error.value.reason == Reason.REVOKED
    revoked.check(claims(id="HDAB-2026-2"))


@pytest.mark.parametrize(
    ("age", "reason"),
    [(DAY + timedelta(seconds=1), Reason.STALE_REVOCATIONS), (-timedelta(minutes=6), Reason.NOT_YET_VALID)],
)
def test_a_list_too_old_or_from_the_future_is_not_gone_by(key: OKPKey, age: timedelta, reason: Reason) -> None:
    token = sign_revocations([], key, issued=NOW - age)
    with pytest.raises(PermitError) as error:
        verify_revocations(token, [key], now=NOW, max_age=DAY)
    assert error.value.reason == reason


def test_another_key_or_kind_is_refused(key: OKPKey) -> None:
    with pytest.raises(PermitError) as error:
        verify_revocations(sign_revocations([], generate_key(), issued=NOW), [key], now=NOW, max_age=DAY)
    assert error.value.reason == Reason.UNKNOWN_KEY
    with pytest.raises(PermitError) as error:
        verify_revocations(sign_permit(claims(), key), [key], now=NOW, max_age=DAY)
    assert error.value.reason == Reason.MALFORMED
