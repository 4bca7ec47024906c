"""The operator's commands, on the files of a lab whose gateway runs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datalab.errors import BadInputError, IdentityError, NotFoundError
from datalab.home import Home
from federation.commands.approve import approve
from federation.commands.operator import init, invite, list_nodes, revoke
from federation.enrolment.client import enrol
from federation.pki.certificates import fingerprint
from federation.pki.keys import Credentials
from federation.pki.local import open_authority, open_registry
from federation.pki.token import EnrolmentToken


def run(command: object, *arguments: object) -> Result:
    # Wide, so that tables do not break lines.
    return CliRunner(env={"COLUMNS": "200"}).invoke(command, [str(one) for one in arguments])  # type: ignore[arg-type]  # click's own type


def test_a_federation_is_made_once(tmp_path: Path) -> None:
    result = run(init, "--home", tmp_path / "lab", "--root", tmp_path / "safe")
    assert result.exit_code == 0, result.exception
    root = fingerprint(open_authority(Home(tmp_path / "lab")).root)
    assert f"Root certificate, SHA-256: {root}" in result.output
    assert str(tmp_path / "safe") in result.output
    assert isinstance(run(init, "--home", tmp_path / "lab", "--root", tmp_path / "safe").exception, BadInputError)


def test_without_a_federation_or_gateway_nobody_is_invited(tmp_path: Path) -> None:
    arguments = ("rotterdam", "--home", tmp_path, "--organisation", "Erasmus MC", "--country", "NL")
    before = run(invite, *arguments).exception
    assert isinstance(before, NotFoundError)
    assert "datalab pki init" in str(before)

    run(init, "--home", tmp_path)
    after = run(invite, *arguments).exception
    assert isinstance(after, NotFoundError)
    assert "gateway is not running" in str(after)


def test_from_invitation_to_revocation(lab: Home, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    arguments = ("rotterdam", "--home", lab.path, "--organisation", "Erasmus MC", "--country", "NL")
    invited = run(invite, *arguments, "--pre-approved", "--out", token_file)
    assert invited.exit_code == 0, invited.exception
    assert fingerprint(open_authority(lab).root) in invited.output
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert EnrolmentToken.decode(token_file.read_text()).secret not in invited.output

    enrol(token_file.read_text(), tmp_path / "node")
    holder = Credentials.load(tmp_path / "node").holder
    listed = run(list_nodes, "--home", lab.path).output
    for word in ("rotterdam", "Erasmus MC", "NL", holder.serial[:8], "7.0", "admitted"):
        assert word in listed
    assert "gateway" not in listed
    assert "gateway" in run(list_nodes, "--home", lab.path, "--all").output

    revoked = run(revoke, "rotterdam", "--home", lab.path)
    assert revoked.output == "Revoked the node rotterdam of Erasmus MC.\n"
    with pytest.raises(IdentityError, match="was revoked"):
        open_registry(lab).check_admitted(holder)
    assert "revoked" in run(list_nodes, "--home", lab.path).output
    assert isinstance(run(revoke, "utrecht", "--home", lab.path).exception, NotFoundError)


def test_a_key_waits_until_the_operator_has_compared_it(lab: Home, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    arguments = ("utrecht", "--home", lab.path, "--organisation", "UMC", "--country", "NL", "--out", token_file)
    assert run(invite, *arguments).exit_code == 0
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        enrolling = pool.submit(enrol, token_file.read_text(), tmp_path / "node", waiting=told.append)
        while not told:
            time.sleep(0.05)
        assert told[0] in run(list_nodes, "--home", lab.path).output.replace("\n", "")
        wrong = run(approve, "utrecht", "--home", lab.path, "--key", "0" * 64)
        assert isinstance(wrong.exception, NotFoundError)
        assert not enrolling.done()
        assert run(approve, "utrecht", "--home", lab.path, "--key", told[0]).exit_code == 0
        assert str(enrolling.result(timeout=30)) == "spiffe://datalab.local/node/utrecht"
    assert not list((tmp_path / "node").glob("waiting-*"))
