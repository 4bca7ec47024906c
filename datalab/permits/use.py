"""Whether a permit allows a particular use."""

from __future__ import annotations

from datalab.permits.claims import PermitClaims, Purpose
from datalab.permits.errors import PermitError, Reason


def permits(claims: PermitClaims, *, dataset: str, version: int, purpose: str, app_digest: str) -> None:
    """Return if ``claims`` allow an app to run on a version of a dataset for a purpose; raise otherwise.

    A permit for scientific research (e) covers its special cases (e-i, e-ii); they do not cover each other.

    Args:
        claims: from ``verify_permit``, which has already checked signature and dates.
        dataset: identifier of the dataset.
        version: its version, from 1.
        purpose: letter of the purpose, as in ``Purpose``.
        app_digest: SHA-256 of the app bundle, 64 lower-case hexadecimal characters.

    Raises:
        PermitError: a clause does not allow it; the error says which.
    """
    permits_dataset(claims, dataset, version)
    permits_purpose(claims, purpose)
    permits_app(claims, app_digest)


def permits_dataset(claims: PermitClaims, dataset: str, version: int) -> None:
    """Raise PermitError unless ``claims`` name this version of a dataset, or the dataset in any version."""
    versions = [one.version for one in claims.datasets if one.id == dataset]
    if not versions:
        raise PermitError(
            Reason.DATASET,
            f"The permit does not name the dataset {dataset}.",
            where=f"permit {claims.id}",
            next_step=f"Apply to {claims.issuer} for a permit that names it.",
        )
    if None not in versions and version not in versions:
        named = ", ".join(str(one) for one in versions)
        raise PermitError(
            Reason.VERSION,
            f"The permit names version {named} of the dataset {dataset}, not version {version}.",
            where=f"permit {claims.id}",
            next_step=f"Use that version, or apply to {claims.issuer} for this one.",
        )


def permits_purpose(claims: PermitClaims, purpose: str) -> None:
    """Raise PermitError unless ``claims`` are for this purpose, or for one that covers it."""
    if not _covers(claims.purpose, purpose):
        raise PermitError(
            Reason.PURPOSE,
            f"The permit is for purpose {claims.purpose} ({claims.purpose.label}), not for {purpose}.",
            where=f"permit {claims.id}",
            next_step="State the permit's purpose, or apply for another permit.",
        )


def permits_app(claims: PermitClaims, app_digest: str) -> None:
    """Raise PermitError if ``claims`` are restricted to named apps, and this is none of them."""
    if claims.apps and app_digest not in claims.apps:
        raise PermitError(
            Reason.APP,
            f"The permit is restricted to named apps, and this one ({app_digest[:12]}…) is not among them.",
            where=f"permit {claims.id}",
            next_step=f"Run an app that the permit names, or ask {claims.issuer} to add this one.",
        )


def _covers(granted: Purpose, asked: str) -> bool:
    research = (Purpose.RESEARCH, Purpose.RESEARCH_PRODUCTS, Purpose.RESEARCH_ALGORITHMS)
    return asked == granted or (granted == Purpose.RESEARCH and asked in research)
