"""``datalab permit keygen | issue | show``, and the files that they write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datalab.errors import BadInputError, IdentityError, NotFoundError
from datalab.permits.commands import issue, keygen, show
from datalab.permits.errors import PermitError
from datalab.permits.keys import PRIVATE_FILE, PUBLIC_FILE, load_private_key, load_public_key

CLAIMS = """
id = "HDAB-2026-1"
issuer = "Health data access body"
data_user = "University of Example"
people = ["Ada Researcher"]
project = "Recurrence of breast cancer"
purpose = "e-ii"
not_before = 2026-01-01T00:00:00Z
expires = 2999-01-01T00:00:00Z

[[datasets]]
id = "cancer-nl"
"""


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments])  # type: ignore[arg-type]  # click's own type


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pair of keys and a file of claims."""
    assert run(keygen, "--out", tmp_path / "keys").exit_code == 0
    (tmp_path / "claims.toml").write_text(CLAIMS)
    return tmp_path


def test_a_permit_from_claims_to_display(folder: Path) -> None:
    keys = folder / "keys"
    permit = folder / "permit.jws"
    issued = run(issue, "--claims", folder / "claims.toml", "--key", keys / PRIVATE_FILE, "--out", permit)
    assert issued.exit_code == 0, issued.exception

    unchecked = run(show, permit)
    assert "NOT CHECKED" in unchecked.output
    assert "Art. 53(1) e-ii: research: training, testing" in unchecked.output
    assert "cancer-nl, any version" in unchecked.output
    assert "signature and dates are right" in run(show, permit, "--key", keys / PUBLIC_FILE).output


def test_a_permit_checked_with_a_key_that_did_not_sign_it_is_refused(folder: Path, tmp_path: Path) -> None:
    run(keygen, "--out", tmp_path / "others")
    permit = folder / "permit.jws"
    run(issue, "--claims", folder / "claims.toml", "--key", folder / "keys" / PRIVATE_FILE, "--out", permit)
    assert isinstance(run(show, permit, "--key", tmp_path / "others" / PUBLIC_FILE).exception, PermitError)


def test_the_private_key_is_its_owners_only_and_never_overwritten(folder: Path) -> None:
    private = folder / "keys" / PRIVATE_FILE
    assert private.stat().st_mode & 0o777 == 0o600
    assert "d" not in json.loads((folder / "keys" / PUBLIC_FILE).read_bytes())
    before = private.read_bytes()
    assert isinstance(run(keygen, "--out", folder / "keys").exception, BadInputError)
    assert private.read_bytes() == before


def test_keys_are_not_mixed_up(folder: Path) -> None:
    with pytest.raises(IdentityError, match="not a private key"):
        load_private_key(folder / "keys" / PUBLIC_FILE)
    with pytest.raises(IdentityError, match="only its owner may have"):
        load_public_key(folder / "keys" / PRIVATE_FILE)
    with pytest.raises(NotFoundError):
        load_public_key(folder / "keys" / "none")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kty":"RSA"}', '{"kty":"OKP","crv":"Ed25519","x":"AA"}', '{"kty":"OKP","crv":"Ed25519"}']
)
def test_a_file_that_is_no_key_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.jwk"
    path.write_text(text)
    with pytest.raises(IdentityError, match="not an Ed25519 key"):
        load_public_key(path)


@pytest.mark.parametrize(
    ("text", "where"),
    [("id =", "claims.toml"), (CLAIMS.replace('"e-ii"', '"x"'), "purpose"), ("id = 'a'", "issuer")],
)
def test_claims_that_make_no_permit_are_named(folder: Path, text: str, where: str) -> None:
    (folder / "claims.toml").write_text(text)
    error = run(issue, "--claims", folder / "claims.toml", "--key", folder / "keys" / PRIVATE_FILE).exception
    assert isinstance(error, BadInputError)
    assert where in str(error.where)
