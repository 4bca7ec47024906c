"""Signed lists of revoked permits, which a node can check without being connected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from datalab.canonical import canonical_json
from datalab.permits.claims import PermitClaims, Text
from datalab.permits.errors import PermitError, Reason
from datalab.permits.signature import malformed, sign, verified_payload

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

KIND = "datalab-permit-revocations+jws"
CLOCK_SKEW = timedelta(minutes=5)


class RevocationList(BaseModel):
    """Permits that no longer hold, as of ``issued``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issued: AwareDatetime
    ids: Annotated[frozenset[Text], Field(max_length=2000)]

    def check(self, claims: PermitClaims) -> None:
        """Raise PermitError if the permit with these claims is revoked."""
        if claims.id in self.ids:
            raise PermitError(
                Reason.REVOKED,
                "The permit was revoked.",
                where=f"permit {claims.id}",
                next_step=f"Ask {claims.issuer} why, or for another one.",
            )

    def check_fresh(self, now: datetime, max_age: timedelta) -> None:
        """Raise PermitError if the list was signed longer than ``max_age`` before ``now``."""
        if now - self.issued > max_age:
            raise PermitError(
                Reason.STALE_REVOCATIONS,
                f"The list of revoked permits is of {self.issued.isoformat()}, too old to go by.",
                next_step="Get the present list from the issuer of the permits.",
            )


def sign_revocations(ids: Iterable[str], key: OKPKey, *, issued: datetime) -> str:
    """Sign the list of all revoked permits as of ``issued`` (with time zone); return it as a compact JWS."""
    document = RevocationList(issued=issued, ids=frozenset(ids)).model_dump(mode="json")
    return sign(canonical_json({**document, "ids": sorted(document["ids"])}), kind=KIND, key=key)


def verify_revocations(
    token: str, keys: Sequence[OKPKey], *, now: datetime | None, max_age: timedelta | None = None
) -> RevocationList:
    """Return a list that one of ``keys`` has signed, not longer than ``max_age`` before ``now`` if that is given.

    Without ``now`` it may be of any time: this machine's clock is not asked.

    Raises:
        PermitError: malformed, by another key, wrongly signed, from the future, or too old to go by.
    """
    try:
        found = RevocationList.model_validate_json(verified_payload(token, kind=KIND, keys=keys))
    except ValidationError as error:
        raise malformed(KIND) from error
    if now is None:
        return found
    if found.issued > now + CLOCK_SKEW:
        raise PermitError(
            Reason.NOT_YET_VALID,
            f"The list of revoked permits is from the future ({found.issued.isoformat()}).",
            next_step="Check that this machine's clock is right.",
        )
    if max_age is not None:
        found.check_fresh(now, max_age)
    return found
