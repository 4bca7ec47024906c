"""Why a permit does not allow something."""

from __future__ import annotations

from enum import StrEnum

from datalab.errors import RefusedError


class Reason(StrEnum):
    """The clause that fails, in a form that may leave the place where it was checked."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown-key"
    BAD_SIGNATURE = "bad-signature"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    STALE_REVOCATIONS = "stale-revocations"
    DATASET = "dataset"
    VERSION = "version"
    PURPOSE = "purpose"
    APP = "app"


class PermitError(RefusedError):
    """A permit, or a list of revoked permits, is not valid or does not allow this use.

    Attributes:
        reason: the clause that fails.
    """

    def __init__(self, reason: Reason, what: str, *, where: str | None = None, next_step: str) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.reason = reason
