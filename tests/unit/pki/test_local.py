"""The authority in a lab's home: its own certificates, and its replacement by a new one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from datalab.errors import BadInputError, IdentityError
from datalab.home import Home
from federation.pki import local, rollover
from federation.pki.authority import Authority
from federation.pki.identity import Identity, Role, holder_from_pem
from federation.pki.keys import certificate_request, new_key
from federation.pki.local import (
    create_federation,
    issue_gateway_certificate,
    lab_credentials,
    open_authority,
    open_registry,
)
from federation.pki.members import Invite


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A lab's home with a federation."""
    made = Home(tmp_path / "lab")
    create_federation(made)
    return made


def enter(home: Home, role: Role, name: str) -> str:
    """Enter a member that has a certificate of a week; return its SPIFFE id."""
    authority, now = open_authority(home), datetime.now(UTC)
    identity = Identity(authority.federation, role, name)
    chain = authority.issue(certificate_request(new_key()), identity)
    invite = Invite(role=role, name=name, organisation="A", country="NL", created=now, expires=now)
    open_registry(home).record_certificate(invite, holder_from_pem(chain))
    return str(identity)


def test_the_lab_keeps_one_certificate_until_it_is_due_revoked_or_of_a_former_authority(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab_credentials(home)
    assert lab_credentials(home) == first
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (home.path / "identity").iterdir())
    open_registry(home).revoke(Role.LAB, "lab")
    second = lab_credentials(home)
    assert second.holder.serial != first.holder.serial
    rollover.start(home)
    third = lab_credentials(home)
    assert third.trust_pem == open_authority(home).trust_bundle_pem != second.trust_pem
    rollover.switch(home, ())
    fourth = lab_credentials(home)
    fourth.check(Identity("datalab.local", Role.LAB, "lab"))
    assert open_authority(home).issuer_pem in fourth.chain_pem
    assert lab_credentials(home) == fourth
    monkeypatch.setattr(local, "LAB_LIFETIME", timedelta(seconds=-1))
    (home.path / "identity" / "identity.pem").unlink()
    assert lab_credentials(home) != lab_credentials(home), "one that is due is not kept"


def test_whoever_opens_the_authority_during_a_rollover_finds_one_at_every_instant(home: Home) -> None:
    done = threading.Event()

    def look() -> list[Authority]:
        met = []
        while not done.is_set():
            met.append(open_authority(home))
        return met

    roots = [open_authority(home).root]
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            for _ in range(10):
                roots.append(rollover.start(home).root)
                rollover.switch(home, ())
                rollover.finish(home, ())
        finally:
            done.set()
        met = looking.result()
    assert {one.root for one in met} <= set(roots)
    assert any(one.other_roots for one in met), "it looked while a rollover was under way"


def test_a_rollover_waits_for_nodes_and_runners_at_work_and_for_nobody_else(home: Home) -> None:
    node, runner = enter(home, Role.NODE, "oslo"), enter(home, Role.RUNNER, "run-1")
    issue_gateway_certificate(home)
    lab_credentials(home)
    rollover.start(home)
    with pytest.raises(BadInputError) as refused:
        rollover.switch(home, (node, runner))
    assert refused.value.where == "node oslo, runner run-1"
    enter(home, Role.NODE, "oslo")
    with pytest.raises(BadInputError) as refused:
        rollover.switch(home, (node, runner))
    assert refused.value.where == "runner run-1"
    rollover.switch(home, (node,))


def test_the_steps_have_an_order(home: Home) -> None:
    for step in (rollover.switch, rollover.finish):
        with pytest.raises(BadInputError, match="No rollover"):
            step(home, ())
    rollover.start(home)
    with pytest.raises(BadInputError, match="still issues"):
        rollover.finish(home, ())
    with pytest.raises(BadInputError, match="rollover switch"):
        rollover.start(home)
    rollover.switch(home, ())
    with pytest.raises(BadInputError, match="issues already"):
        rollover.switch(home, ())
    with pytest.raises(BadInputError, match="rollover finish"):
        rollover.start(home)
    rollover.finish(home, ())
    with pytest.raises(BadInputError, match="already"):
        create_federation(home, home.path / "another-root")


def test_a_damaged_standing_is_said_to_be_that(home: Home) -> None:
    (home.path / "federation" / "authority.json").write_text('{"issuing": "../elsewhere"}')
    with pytest.raises(IdentityError, match="which authority issues"):
        open_authority(home)
