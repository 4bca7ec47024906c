"""Which gateways a node takes for one: by proof, by a list that only moves forward, and by protocol."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from federation.errors import VersionError
from federation.node.trust import NONCE_BYTES, GatewayTrust, UntrustedError
from federation.pb import federation_pb2 as pb
from federation.pki.authority import Authority, create_authority
from federation.pki.crl import build_crl
from federation.pki.identity import Identity, Role
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.members import Revocations, Revoked
from federation.pki.seal import HEAD, WELCOME, Sealer
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR
from federation.wire.sealed import welcome_document

NONCE = b"n" * NONCE_BYTES


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    return create_authority(folder / "root", folder / "issuing", federation="datalab.test", passphrase="secret")


def member(authority: Authority, role: Role) -> Credentials:
    key = new_key()
    names = {"dns_names": ["localhost"]} if role is Role.GATEWAY else {}
    chain = authority.issue(certificate_request(key), Identity("datalab.test", role, "one"), **names)  # type: ignore[arg-type]
    return Credentials(key_pem(key), chain, authority.trust_bundle_pem)


def revocation_list(authority: Authority, number: int, *serials: str) -> pb.RevocationList:
    now = datetime.now(UTC)
    ends = now + timedelta(days=1)
    revoked = tuple(Revoked(serial=one, member="spiffe://a/gateway/b", revoked=now, expires=ends) for one in serials)
    crl = build_crl(authority, Revocations(number=number, certificates=revoked), now)
    return pb.RevocationList(crl_der=crl, issuer_pem=authority.issuer_pem)


def welcome(authority: Authority, signer: Credentials, node: Credentials, *, context: str = WELCOME) -> pb.NodeWelcome:
    document = welcome_document(str(node.holder.identity), NONCE)
    return pb.NodeWelcome(
        protocol_major=PROTOCOL_MAJOR,
        protocol_minor=PROTOCOL_MINOR,
        gateway_chain_pem=signer.chain_pem,
        signature=Sealer(signer).seal(context, document),
        time=time.time(),
        revocations=revocation_list(authority, 1),
    )


def test_a_gateway_that_proves_itself_is_taken(authority: Authority, tmp_path: Path) -> None:
    node, trust = member(authority, Role.NODE), GatewayTrust(tmp_path)
    trust.check_welcome(welcome(authority, member(authority, Role.GATEWAY), node), NONCE, node)
    assert trust.gateway == "spiffe://datalab.test/gateway/one"
    assert abs(trust.skew) < timedelta(minutes=1)


@pytest.mark.parametrize("role", [Role.NODE, Role.RUNNER, Role.LAB])
def test_no_other_member_can_pose_as_a_gateway(authority: Authority, tmp_path: Path, role: Role) -> None:
    node = member(authority, Role.NODE)
    with pytest.raises(UntrustedError, match="does not prove"):
        GatewayTrust(tmp_path).check_welcome(welcome(authority, member(authority, role), node), NONCE, node)


def test_a_proof_for_another_node_nonce_or_purpose_is_none(authority: Authority, tmp_path: Path) -> None:
    node, gateway = member(authority, Role.NODE), member(authority, Role.GATEWAY)
    for one, nonce in (
        (welcome(authority, gateway, gateway), NONCE),
        (welcome(authority, gateway, node), b"m" * NONCE_BYTES),
        (welcome(authority, gateway, node, context=HEAD), NONCE),
    ):
        with pytest.raises(UntrustedError, match="does not prove"):
            GatewayTrust(tmp_path).check_welcome(one, nonce, node)


def test_a_revoked_gateway_is_refused_also_after_a_restart_of_the_node(authority: Authority, tmp_path: Path) -> None:
    node, gateway = member(authority, Role.NODE), member(authority, Role.GATEWAY)
    first = GatewayTrust(tmp_path)
    first.check_welcome(welcome(authority, gateway, node), NONCE, node)
    with pytest.raises(UntrustedError, match="has been revoked"):
        first.take_list(revocation_list(authority, 2, gateway.holder.serial), node)
    again = GatewayTrust(tmp_path)
    again.load(node)
    assert again.revoked == {gateway.holder.serial}
    with pytest.raises(UntrustedError, match="older than the one"):
        again.check_welcome(welcome(authority, gateway, node), NONCE, node)


def test_a_gateway_that_proves_nothing_is_taken_until_one_has(authority: Authority, tmp_path: Path) -> None:
    node, trust = member(authority, Role.NODE), GatewayTrust(tmp_path)
    old = pb.NodeWelcome(protocol_major=PROTOCOL_MAJOR, protocol_minor=0, node="one")
    trust.check_welcome(old, NONCE, node)
    trust.check_welcome(welcome(authority, member(authority, Role.GATEWAY), node), NONCE, node)
    with pytest.raises(UntrustedError):
        trust.check_welcome(old, NONCE, node)


@pytest.mark.parametrize(("major", "side"), [(PROTOCOL_MAJOR + 1, "node"), (PROTOCOL_MAJOR - 1, "gateway")])
def test_a_gateway_of_another_protocol_says_which_side_to_upgrade(
    authority: Authority, tmp_path: Path, major: int, side: str
) -> None:
    with pytest.raises(VersionError, match=f"Upgrade the {side}"):
        GatewayTrust(tmp_path).check_welcome(pb.NodeWelcome(protocol_major=major), NONCE, member(authority, Role.NODE))
