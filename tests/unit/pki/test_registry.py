"""The register: invitations that work once, members that come, go and come back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from datalab.audit.verification import verify
from datalab.errors import BadInputError, IdentityError, NotFoundError, RefusedError
from federation.pki.authority import Authority
from federation.pki.identity import Holder, Identity, Role
from federation.pki.members import Invite
from federation.pki.registry import MAX_CERTIFICATES, Registry
from tests.unit.pki.conftest import FEDERATION, NODE, enrolled


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty register."""
    return Registry(tmp_path, FEDERATION)


KEY = "a" * 64


def invited(registry: Registry, name: str = NODE.name, *, approved: bool = True, **how: timedelta) -> str:
    return registry.invite(Role.NODE, name, organisation="Erasmus MC", country="NL", approved=approved, **how)


def claimed(registry: Registry, secret: str) -> Invite:
    invite = registry.claim(secret, KEY)
    assert invite is not None
    return invite


def enrol(registry: Registry, authority: Authority, invite: Invite) -> Holder:
    identity = Identity(FEDERATION, invite.role, invite.name)
    holder = enrolled(authority, identity).holder
    registry.record_certificate(invite, holder)
    return holder


def test_an_invitation_works_once(registry: Registry) -> None:
    secret = invited(registry)
    invite = claimed(registry, secret)
    assert (invite.name, invite.organisation, invite.country) == ("rotterdam", "Erasmus MC", "NL")
    with pytest.raises(IdentityError, match="used already"):
        claimed(registry, secret)


def test_of_many_who_try_at_once_one_gets_it(registry: Registry) -> None:
    secret = invited(registry)

    def attempt(_: int) -> bool:
        try:
            claimed(registry, secret)
        except IdentityError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


def test_an_expired_or_unknown_invitation_does_not_work(registry: Registry) -> None:
    secret = invited(registry, lifetime=timedelta(0))
    with pytest.raises(IdentityError, match="has expired"):
        claimed(registry, secret)
    for unknown in ("x" * 43, "*", ""):
        with pytest.raises(IdentityError, match="not known"):
            claimed(registry, unknown)


def test_the_secret_is_not_kept(registry: Registry, tmp_path: Path) -> None:
    secret = invited(registry)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(secret in path.name or secret.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("role", "name", "organisation", "country", "error"),
    [
        (Role.NODE, "../up", "A", "NL", IdentityError),
        (Role.GATEWAY, "gateway", "A", "NL", IdentityError),
        (Role.NODE, "a", " ", "NL", BadInputError),
        (Role.NODE, "a", "A", "nl", BadInputError),
    ],
)
def test_who_cannot_be_invited(
    registry: Registry, role: Role, name: str, organisation: str, country: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        registry.invite(role, name, organisation=organisation, country=country, approved=True)


def test_a_member_is_admitted_by_a_certificate_that_was_entered(registry: Registry, authority: Authority) -> None:
    holder = enrol(registry, authority, claimed(registry, invited(registry)))
    assert registry.check_admitted(holder).organisation == "Erasmus MC"
    assert [(one.name, len(one.certificates)) for one in registry.members()] == [("rotterdam", 1)]
    with pytest.raises(IdentityError, match="not in the register"):
        registry.check_admitted(enrolled(authority).holder)


def test_revocation_is_seen_by_whoever_has_the_register_open(
    registry: Registry, authority: Authority, tmp_path: Path
) -> None:
    holder = enrol(registry, authority, claimed(registry, invited(registry)))
    registry.check_admitted(holder)
    Registry(tmp_path, FEDERATION).revoke(Role.NODE, NODE.name)
    with pytest.raises(IdentityError, match="was revoked"):
        registry.check_admitted(holder)


def test_revocation_withdraws_open_invitations_too(registry: Registry) -> None:
    secret, other = invited(registry), invited(registry, "utrecht")
    registry.revoke(Role.NODE, NODE.name)
    with pytest.raises(IdentityError, match="not known"):
        claimed(registry, secret)
    claimed(registry, other)


def test_revocation_catches_an_enrolment_under_way(registry: Registry, authority: Authority) -> None:
    invite = claimed(registry, invited(registry))
    registry.revoke(Role.NODE, NODE.name)
    with pytest.raises(IdentityError, match="was revoked"):
        enrol(registry, authority, invite)
    assert [(bool(one.revoked), one.certificates) for one in registry.members()] == [(True, ())]


def test_a_revoked_member_can_be_invited_again_and_its_old_certificate_stays_out(
    registry: Registry, authority: Authority
) -> None:
    old = enrol(registry, authority, claimed(registry, invited(registry)))
    registry.revoke(Role.NODE, NODE.name)
    new = enrol(registry, authority, claimed(registry, invited(registry)))
    assert registry.check_admitted(new).revoked is None
    with pytest.raises(IdentityError, match="was revoked"):
        registry.check_admitted(old)


def test_nobody_is_nobody(registry: Registry) -> None:
    with pytest.raises(NotFoundError):
        registry.revoke(Role.NODE, "nobody")


def test_a_key_waits_for_approval_and_no_other_key_will_do(registry: Registry) -> None:
    secret = invited(registry, approved=False)
    assert registry.waiting() == []
    assert registry.claim(secret, KEY) is None
    assert [(one.name, one.key_sha256) for one in registry.waiting()] == [(NODE.name, KEY)]
    with pytest.raises(IdentityError, match="another key"):
        registry.claim(secret, "b" * 64)
    with pytest.raises(NotFoundError, match="another fingerprint"):
        registry.approve(Role.NODE, NODE.name, "b" * 64)
    registry.approve(Role.NODE, NODE.name, KEY)
    assert registry.waiting() == []
    assert claimed(registry, secret).name == NODE.name


def test_a_member_renews_until_it_is_revoked(registry: Registry, authority: Authority) -> None:
    first = enrol(registry, authority, claimed(registry, invited(registry)))
    second = enrolled(authority).holder
    assert len(registry.record_renewal(first, second).certificates) == 2
    registry.revoke(Role.NODE, NODE.name)
    assert {one.serial for one in registry.revocations().certificates} == {first.serial, second.serial}
    with pytest.raises(IdentityError, match="was revoked"):
        registry.record_renewal(second, enrolled(authority).holder)


def test_a_new_certificate_needs_a_new_key(registry: Registry, authority: Authority) -> None:
    first = enrol(registry, authority, claimed(registry, invited(registry)))
    second = enrolled(authority).holder
    registry.record_renewal(first, second)
    for used in (first, second):
        again = replace(enrolled(authority).holder, key_sha256=used.key_sha256)
        with pytest.raises(BadInputError, match="for this key before"):
            registry.record_renewal(second, again)
    registry.revoke(Role.NODE, NODE.name)
    again = replace(enrolled(authority).holder, key_sha256=first.key_sha256)
    with pytest.raises(BadInputError, match="for this key before"):
        registry.record_certificate(claimed(registry, invited(registry)), again)


def test_a_member_gets_eight_certificates_in_a_tenth_of_their_life_and_then_has_to_wait(
    registry: Registry, authority: Authority
) -> None:
    holder = enrol(registry, authority, claimed(registry, invited(registry)))
    start = datetime.now(UTC)
    for _ in range(MAX_CERTIFICATES - 1):
        renewed = enrolled(authority).holder
        registry.record_renewal(holder, renewed, issued=start)
        holder = renewed
    with pytest.raises(RefusedError, match="has got 8 certificates") as refused:
        registry.record_renewal(holder, enrolled(authority).holder)
    again = start + timedelta(days=0.7)
    assert f"{again:%Y-%m-%d %H:}" in str(refused.value)
    earlier = start - timedelta(days=0.7)
    aged = [one.model_copy(update={"issued": earlier}) for one in registry.members()[0].certificates]
    member = registry.members()[0].model_copy(update={"certificates": tuple(aged)})
    (registry.audit.path.parent / "members" / f"node.{NODE.name}.json").write_text(member.model_dump_json())
    registry.record_renewal(holder, enrolled(authority).holder)


def test_every_change_is_in_the_audit_log(registry: Registry, authority: Authority) -> None:
    enrol(registry, authority, claimed(registry, invited(registry)))
    registry.revoke(Role.NODE, NODE.name)
    assert verify(registry.audit.path).intact
    entries = [json.loads(line) for line in registry.audit.path.read_bytes().splitlines()]
    assert [entry["event"] for entry in entries] == [
        "member.invited",
        "invitation.claimed",
        "certificate.issued",
        "member.revoked",
    ]
    assert {entry["details"]["member"] for entry in entries} == {str(NODE)}
