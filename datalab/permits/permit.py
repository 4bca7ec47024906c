"""Signing and checking data permits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from datalab.canonical import canonical_json
from datalab.permits.claims import PermitClaims
from datalab.permits.errors import PermitError, Reason
from datalab.permits.signature import malformed, sign, unverified_payload, verified_payload

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

KIND = "datalab-permit+jws"


def sign_permit(claims: PermitClaims, key: OKPKey) -> str:
    """Sign ``claims`` with a private key; return the permit as a compact JWS."""
    return sign(canonical_json(claims.model_dump(mode="json")), kind=KIND, key=key)


def verify_permit(token: str, keys: Sequence[OKPKey], *, now: datetime) -> PermitClaims:
    """Return the claims of a permit that one of ``keys`` has signed and that holds at ``now``.

    Raises:
        PermitError: malformed, by another key, wrongly signed, not yet valid, or expired.
    """
    claims = _claims(verified_payload(token, kind=KIND, keys=keys))
    where = f"permit {claims.id}"
    if now < claims.not_before:
        raise PermitError(
            Reason.NOT_YET_VALID,
            f"The permit holds only from {claims.not_before.isoformat()}.",
            where=where,
            next_step="Wait until then, and check that this machine's clock is right.",
        )
    if now >= claims.expires:
        raise PermitError(
            Reason.EXPIRED,
            f"The permit expired at {claims.expires.isoformat()}.",
            where=where,
            next_step=f"Ask {claims.issuer} to renew it.",
        )
    return claims


def read_claims_unverified(token: str) -> PermitClaims:
    """Return what a permit says, whoever signed it and whenever: for display only, never to decide.

    Raises:
        PermitError: the token is malformed.
    """
    return _claims(unverified_payload(token, kind=KIND))


def _claims(payload: bytes) -> PermitClaims:
    try:
        return PermitClaims.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise malformed(KIND, f"{'.'.join(map(str, first['loc'])) or 'claims'}: {first['msg']}") from error
