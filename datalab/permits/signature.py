"""Signed documents as compact JWS (RFC 7515): one algorithm, one kind of header, bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from datalab.permits.errors import PermitError, Reason
from datalab.permits.keys import key_id

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey
    from joserfc.jws import CompactSignature

ALGORITHM = "Ed25519"
"""The fully specified name of RFC 9864; nothing else is signed with or accepted."""
MAX_TOKEN_BYTES = 64 << 10


def sign(payload: bytes, *, kind: str, key: OKPKey) -> str:
    """Sign ``payload`` with a private key; ``kind`` is the header's ``typ``."""
    from joserfc import jws

    header = {"alg": ALGORITHM, "typ": kind, "kid": key_id(key)}
    token = jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM])
    _check_size(token, kind)
    return token


def verified_payload(token: str, *, kind: str, keys: Sequence[OKPKey]) -> bytes:
    """Return what one of ``keys`` has signed as a document of this ``kind``.

    Raises:
        PermitError: it is malformed, of another kind, signed by another key, or its signature is wrong.
    """
    from joserfc import jws
    from joserfc.errors import JoseError

    signed = _extract(token, kind)
    signer = signed.headers()["kid"]
    key = next((key for key in keys if key_id(key) == signer), None)
    if key is None:
        raise PermitError(
            Reason.UNKNOWN_KEY,
            f"The signature is by the key {signer[:16]}…, which is not trusted here.",
            next_step="If its owner may issue permits for these data, pin the owner's public key file.",
        )
    try:
        genuine = jws.validate_compact(signed, key, algorithms=[ALGORITHM])
    except (JoseError, ValueError) as error:
        raise malformed(kind) from error
    if not genuine:
        raise PermitError(
            Reason.BAD_SIGNATURE,
            "The signature does not fit: the document was changed after it was signed.",
            next_step="Get it again from its issuer.",
        )
    return signed.payload


def signer_named(token: str, *, kind: str) -> str:
    """Return the id of the key that a token says has signed it: true of one that was verified.

    Raises:
        PermitError: the token is malformed or of another kind.
    """
    return str(_extract(token, kind).headers()["kid"])


def unverified_payload(token: str, *, kind: str) -> bytes:
    """Return what the token carries, whoever signed it: for display only.

    Raises:
        PermitError: the token is malformed or of another kind.
    """
    return _extract(token, kind).payload


def malformed(kind: str, detail: str = "") -> PermitError:
    """Return the error for a document that does not have the form it must have."""
    return PermitError(
        Reason.MALFORMED,
        f"This is not a document of the kind {kind}{detail and ': '}{detail}.",
        next_step="Get it again from its issuer, as one line of text.",
    )


def _extract(token: str, kind: str) -> CompactSignature:
    from joserfc import jws
    from joserfc.errors import JoseError

    _check_size(token, kind)
    try:
        signed = jws.extract_compact(token.encode("ascii"))
        header = signed.headers()
    except (JoseError, ValueError, RecursionError) as error:
        raise malformed(kind) from error
    if not isinstance(header, dict) or {**header, "kid": ""} != {"alg": ALGORITHM, "typ": kind, "kid": ""}:
        raise malformed(kind, "its header is another one")
    if not isinstance(header.get("kid"), str):
        raise malformed(kind, "its header names no key")
    return signed


def _check_size(token: str, kind: str) -> None:
    if len(token) > MAX_TOKEN_BYTES:
        raise malformed(kind, f"it has more than {MAX_TOKEN_BYTES} characters")
