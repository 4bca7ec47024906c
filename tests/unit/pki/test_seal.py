"""Statements that a member signs, and everything by which a false one is told from a true one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from datalab.errors import IdentityError
from federation.pki.authority import Authority
from federation.pki.identity import Identity, Role
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.seal import HEAD, HEAD_SEEN, Sealer, check_seal
from tests.unit.pki.conftest import FEDERATION, NODE, enrolled

DOCUMENT = {"owner": str(NODE), "n": 7, "hash": "0" * 64}


def check(signer: Credentials, signature: bytes, **changes: object) -> Identity:
    arguments = {
        "context": HEAD,
        "document": DOCUMENT,
        "chain_pem": signer.chain_pem,
        "trust_pem": signer.trust_pem,
        "role": Role.NODE,
        "now": datetime.now(UTC),
        **changes,
    }
    return check_seal(signature, **arguments).identity  # type: ignore[arg-type]


def test_a_seal_says_who_signed(authority: Authority) -> None:
    node = enrolled(authority)
    assert check(node, Sealer(node).seal(HEAD, DOCUMENT)) == NODE


def test_a_gateway_seals_with_its_servers_certificate(authority: Authority) -> None:
    key = new_key()
    identity = Identity(FEDERATION, Role.GATEWAY, "gateway")
    chain = authority.issue(certificate_request(key), identity, dns_names=["localhost"])
    gateway = Credentials(key_pem(key), chain, authority.trust_bundle_pem)
    seal = Sealer(gateway).seal(HEAD, DOCUMENT)
    assert check(gateway, seal, role=Role.GATEWAY) == identity
    with pytest.raises(IdentityError):
        check(gateway, seal, role=Role.NODE)


@pytest.mark.parametrize(
    "changes",
    [
        {"document": {**DOCUMENT, "n": 8}},
        {"context": HEAD_SEEN},
        {"role": Role.RUNNER},
        {"role": Role.GATEWAY},
        {"now": datetime.now(UTC) + timedelta(days=400)},
        {"now": datetime.now(UTC) - timedelta(days=1)},
    ],
)
def test_a_seal_is_good_for_what_it_was_made_for_alone(authority: Authority, changes: dict[str, object]) -> None:
    node = enrolled(authority)
    with pytest.raises(IdentityError):
        check(node, Sealer(node).seal(HEAD, DOCUMENT), **changes)


def test_a_revoked_member_and_another_authority_do_not_count(
    authority: Authority, make_authority: Callable[[], Authority]
) -> None:
    node = enrolled(authority)
    seal = Sealer(node).seal(HEAD, DOCUMENT)
    with pytest.raises(IdentityError, match="revoked"):
        check(node, seal, revoked={node.holder.serial})
    with pytest.raises(IdentityError):
        check(node, seal, trust_pem=make_authority().trust_bundle_pem)
    with pytest.raises(IdentityError):
        check(enrolled(authority), seal)
