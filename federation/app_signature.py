"""Signatures over apps: whoever a node trusts as a signer need not have each app approved there.

A signature is a detached compact JWS (RFC 7515, appendix F) over the bundle's digest, by an Ed25519 key.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

from datalab.errors import RefusedError
from datalab.permits.errors import PermitError
from datalab.permits.signature import sign, verified_payload

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

KIND = "datalab-app+jws"
MAX_SIGNATURE = 1024
"""Characters of a detached signature."""


def sign_app(sha256: str, key: OKPKey) -> str:
    """Return the signature of a private key over the app with this digest (64 hexadecimal characters)."""
    header, _, signature = sign(sha256.encode("ascii"), kind=KIND, key=key).split(".")
    return f"{header}..{signature}"


def check_app_signature(signature: str, sha256: str, key: OKPKey) -> None:
    """Raise RefusedError unless the owner of ``key`` has signed the app with this digest."""
    parts = signature.split(".")
    if len(parts) != 3 or parts[1] or len(signature) > MAX_SIGNATURE:
        raise RefusedError("The app's signature is not a detached JWS.", next_step="Sign it with: datalab app sign")
    payload = urlsafe_b64encode(sha256.encode("ascii")).rstrip(b"=").decode("ascii")
    try:
        verified_payload(f"{parts[0]}.{payload}.{parts[2]}", kind=KIND, keys=[key])
    except PermitError as error:
        raise RefusedError("The app's signature is not by this signer, or is for another app.") from error
