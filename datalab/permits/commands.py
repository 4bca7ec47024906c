"""The commands ``datalab permit …``."""

from __future__ import annotations

import json
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from datalab.errors import BadInputError, NotFoundError, NotWritableError
from datalab.home import write_atomically
from datalab.permits.claims import PermitClaims
from datalab.permits.keys import generate_key, key_id, load_private_key, load_public_key, write_key_pair
from datalab.permits.permit import read_claims_unverified, sign_permit, verify_permit

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--out", type=_PATH, required=True, metavar="FOLDER", help="Where the two key files go.")
def keygen(out: Path) -> None:
    """Make a pair of keys that signs permits: a private one to keep, a public one for nodes to pin."""
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = generate_key()
        private, public = write_key_pair(key, out)
    except OSError as error:
        raise NotWritableError(
            f"Cannot write keys to {out}: {error.strerror}.", next_step="Name a folder that you may write to."
        ) from error
    click.echo(f"Private key (keep it, give it to nobody): {private}")
    click.echo(f"Public key (give it to the nodes):        {public}")
    click.echo(f"Key id: {key_id(key)}")


@click.command()
@click.option("--claims", "claims_file", type=_PATH, required=True, help="What the permit says (TOML or JSON).")
@click.option("--key", "key_file", type=_PATH, required=True, help="The issuer's private key file.")
@click.option("--out", type=_PATH, help="Where the permit goes; without it, to standard output.")
def issue(claims_file: Path, key_file: Path, out: Path | None) -> None:
    """Sign a data permit: what CLAIMS says, with the access body's private key.

    CLAIMS is who may use which datasets, for which purpose and until when: the file that a request's page gives out
    after the last approval, or one of your own. `datalab permit keygen` makes the key; nodes pin its public half.
    """
    permit = sign_permit(read_claims_file(claims_file), load_private_key(key_file))
    if out is None:
        click.echo(permit)
        return
    try:
        write_atomically(out, permit.encode() + b"\n", mode=0o644)
    except OSError as error:
        raise NotWritableError(
            f"Cannot write the permit to {out}: {error.strerror}.", next_step="Name another file."
        ) from error
    click.echo(f"Permit written to {out}")


@click.command()
@click.argument("permit", type=_PATH)
@click.option("--key", "key_files", type=_PATH, multiple=True, help="A public key file to check it with.")
def show(permit: Path, key_files: tuple[Path, ...]) -> None:
    """Show what a data permit says (PERMIT is a file, or - for standard input)."""
    token = _read(permit).decode("ascii", "replace").strip()
    if key_files:
        claims = verify_permit(token, [load_public_key(file) for file in key_files], now=datetime.now(UTC))
        state = "signature and dates are right"
    else:
        claims = read_claims_unverified(token)
        state = "NOT CHECKED: name the issuer's public key with --key"
    _print_claims(claims, state)


def read_claims_file(path: Path) -> PermitClaims:
    """Read claims as TOML (``.toml``) or JSON.

    Raises:
        NotFoundError: the file cannot be read.
        BadInputError: it is not TOML or JSON, or a claim is missing, unknown or not valid.
    """
    data = _read(path)
    try:
        fields: Any = tomllib.loads(data.decode()) if path.suffix == ".toml" else json.loads(data)
        return PermitClaims.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise BadInputError(
            f"The claims do not make a permit: {first['msg']}.",
            where=f"{path}, {field}" if field else str(path),
            next_step="Correct the claim in the file.",
        ) from error
    except ValueError as error:
        raise BadInputError(
            f"The claims cannot be read: {error}.", where=str(path), next_step="Write them as TOML or JSON."
        ) from error


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"Cannot read {path}: {error.strerror}.", next_step="Name a readable file.") from error


def _print_claims(claims: PermitClaims, state: str) -> None:
    from rich.console import Console
    from rich.table import Table

    def name(dataset: str, version: int | None) -> str:
        return f"{dataset}, any version" if version is None else f"{dataset}, version {version}"

    table = Table("Permit", claims.id, show_edge=False)
    for label, value in (
        ("Signature", state),
        ("Issuer", claims.issuer),
        ("Data user", claims.data_user),
        ("People", "\n".join(claims.people)),
        ("Project", claims.project),
        ("Purpose", f"Art. 53(1) {claims.purpose}: {claims.purpose.label}"),
        ("Datasets", "\n".join(name(one.id, one.version) for one in claims.datasets)),
        ("Apps", "\n".join(claims.apps) or "any that the node approves"),
        ("Conditions", "\n".join(claims.conditions) or "none"),
        ("Results", "leave the lab once they are released" if claims.release else "need no release"),
        ("From", claims.not_before.isoformat()),
        ("Until", claims.expires.isoformat()),
    ):
        table.add_row(label, value)
    Console(soft_wrap=True, markup=False, highlight=False).print(table)
