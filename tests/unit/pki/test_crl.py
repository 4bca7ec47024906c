"""The signed list of revoked certificates: read whole, or refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from datalab.errors import IdentityError
from federation.pki.authority import Authority
from federation.pki.crl import LIFETIME, RevocationList, build_crl, check_crl
from federation.pki.members import Revocations, Revoked

NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
"""Later than whatever is made while these tests wait for their turn."""
REVOKED = Revocations(
    number=3,
    certificates=(Revoked(serial="ab12", member="spiffe://a/node/b", revoked=NOW, expires=NOW + timedelta(days=1)),),
)


def test_what_was_signed_is_read(authority: Authority) -> None:
    crl = build_crl(authority, REVOKED, NOW)
    found = check_crl(crl, authority.issuer_pem, authority.trust_bundle_pem, now=NOW)
    assert found == RevocationList(frozenset({"ab12"}), 3, NOW, NOW + LIFETIME)


def test_a_list_by_anybody_else_is_refused(authority: Authority, make_authority: Callable[[], Authority]) -> None:
    other = make_authority()
    crl = build_crl(other, REVOKED, NOW)
    for issuer in (other.issuer_pem, authority.issuer_pem):
        with pytest.raises(IdentityError):
            check_crl(crl, issuer, authority.trust_bundle_pem, now=NOW)


@pytest.mark.parametrize("position", [20, 60, -10])
def test_a_changed_list_is_refused(authority: Authority, position: int) -> None:
    crl = bytearray(build_crl(authority, REVOKED, NOW))
    crl[position] ^= 1
    with pytest.raises(IdentityError):
        check_crl(bytes(crl), authority.issuer_pem, authority.trust_bundle_pem, now=NOW)


def test_an_older_list_does_not_replace_a_newer_one() -> None:
    older, newer = (RevocationList(frozenset(), number, NOW, NOW + LIFETIME) for number in (2, 3))
    assert newer.replaces(older)
    assert not older.replaces(newer)
    assert older.replaces(older)
