"""Keys that sign permits: Ed25519, kept as JWK files (RFC 7517, RFC 8037)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datalab.canonical import canonical_json
from datalab.errors import BadInputError, IdentityError, NotFoundError
from datalab.home import write_atomically

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

PRIVATE_FILE = "permit-key.private.jwk"
PUBLIC_FILE = "permit-key.public.jwk"

_MAX_BYTES = 4096


def generate_key() -> OKPKey:
    """Make a private key (Ed25519)."""
    from joserfc.jwk import OKPKey

    return OKPKey.generate_key("Ed25519")


def public_key(key: OKPKey) -> OKPKey:
    """Return the public half of ``key``."""
    from joserfc.jwk import OKPKey

    return OKPKey.import_key(key.as_dict(private=False))


def key_id(key: OKPKey) -> str:
    """Return the name by which permits refer to ``key``: its thumbprint (RFC 7638, SHA-256, base64url)."""
    return key.thumbprint()


def write_key_pair(key: OKPKey, folder: Path) -> tuple[Path, Path]:
    """Write ``PRIVATE_FILE`` (its owner's only) and ``PUBLIC_FILE`` into ``folder``; return both paths.

    Raises:
        BadInputError: there is a key already.
    """
    private, public = folder / PRIVATE_FILE, folder / PUBLIC_FILE
    if private.exists():
        raise BadInputError(
            "There is a permit key already.",
            where=str(private),
            next_step="Name another folder; a key that has signed permits is still needed to check them.",
        )
    write_atomically(private, canonical_json(key.as_dict(private=True)) + b"\n")
    write_atomically(public, canonical_json({**key.as_dict(private=False), "kid": key_id(key)}) + b"\n", mode=0o644)
    return private, public


def load_private_key(path: Path) -> OKPKey:
    """Read a signing key.

    Raises:
        NotFoundError: the file cannot be read.
        IdentityError: it is not a private Ed25519 JWK.
    """
    fields = _read(path)
    if "d" not in fields:
        raise IdentityError(
            "This is not a private key.", where=str(path), next_step=f"Sign with the file {PRIVATE_FILE}."
        )
    return _import(fields, path)


def load_public_key(path: Path) -> OKPKey:
    """Read a key that signatures are checked with.

    Raises:
        NotFoundError: the file cannot be read.
        IdentityError: it is not a public Ed25519 JWK.
    """
    fields = _read(path)
    if "d" in fields:
        raise IdentityError(
            "This is a private key, which only its owner may have.",
            where=str(path),
            next_step=f"Remove it here, and use the file {PUBLIC_FILE} of the same pair.",
        )
    return _import(fields, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise NotFoundError(
            f"Cannot read the key file {path}: {error.strerror}.",
            next_step="Make a pair with: datalab permit keygen --out FOLDER",
        ) from error
    try:
        fields = json.loads(data)
    except ValueError:
        fields = None
    if len(data) > _MAX_BYTES or not isinstance(fields, dict):
        raise _not_a_key(path)
    return fields


def _import(fields: dict[str, Any], path: Path) -> OKPKey:
    from joserfc.errors import JoseError
    from joserfc.jwk import OKPKey

    wanted = {name: value for name, value in fields.items() if name in {"crv", "x", "d", "kty"}}
    if wanted.get("kty") != "OKP" or wanted.get("crv") != "Ed25519":
        raise _not_a_key(path)
    try:
        return OKPKey.import_key(wanted)
    except (JoseError, ValueError, TypeError) as error:
        raise _not_a_key(path) from error


def _not_a_key(path: Path) -> IdentityError:
    return IdentityError(
        "This is not an Ed25519 key in JWK form.",
        where=str(path),
        next_step="Make a pair with: datalab permit keygen --out FOLDER",
    )
