"""Heads of one audit log that another log has kept: signed by the first log's owner, who cannot take them back.

A log whose chain is intact may still have been written anew, or have lost its end, by whoever owns it. The other side
wrote down where it stood at the start and the end of each run; what it says now must fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509 import load_pem_x509_certificate
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from datalab.audit.chain import Head
from datalab.audit.entry import Entry
from datalab.audit.verification import entries
from datalab.errors import IdentityError
from federation.pki.identity import Role, holder_from_pem
from federation.pki.keys import check_chain
from federation.pki.seal import HEAD, is_sealed_by

OWN_CERTIFICATE, OTHERS_CERTIFICATE = "certificate taken", "certificate seen"
"""Events by which a log says with whose certificate its own heads, and the other side's, are signed."""


class _SignedHead(BaseModel):
    n: int = Field(ge=0)
    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    owner: str
    signature: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})*$")]


@dataclass(frozen=True)
class Kept:
    """What a log has kept of another.

    Attributes:
        heads: those that the other log's owner has signed.
        behind: how many of them are older than one that was shown before: what came in between had no witness then.
        unproven: how many more are said to be the owner's, and bear no signature of theirs that can be checked.
    """

    heads: tuple[Head, ...]
    behind: int
    unproven: int


def owner_of(log: Path) -> str | None:
    """Return whose log it is, a SPIFFE id, as the log itself says; None if it does not."""
    found = [one.details.get("member") for one in _entries(log) if one.event == OWN_CERTIFICATE]
    return str(found[-1]) if found else None


def kept_heads(other: Path, log: Path, owner: str, roots_pem: bytes | None) -> Kept:
    """Return the heads of ``log`` that the log ``other`` has kept.

    Args:
        other: the log of the other side.
        log: the log that is checked; where ``other`` has not kept its owner's certificates, its own are taken.
        owner: whose log it is, a SPIFFE id.
        roots_pem: the federation's roots; None takes the recorded certificates as they are.
    """
    chains = [*_chains(other, OTHERS_CERTIFICATE, owner), *_chains(log, OWN_CERTIFICATE, owner)]
    heads: list[Head] = []
    behind = unproven = newest = 0
    for entry in _entries(other):
        for value in entry.details.values():
            head = _signed_head(value)
            if head is None or head.owner != owner:
                continue
            if any(_has_signed(chain, head, entry.time, roots_pem) for chain in chains):
                heads.append(Head(head.n, head.hash))
                behind += head.n < newest
                newest = max(newest, head.n)
            else:
                unproven += 1
    return Kept(tuple(heads), behind, unproven)


def _entries(log: Path) -> Iterator[Entry]:
    return (one for one in entries(log) if isinstance(one, Entry) and isinstance(one.details, dict))


def _signed_head(value: Any) -> _SignedHead | None:
    try:
        return _SignedHead.model_validate(value)
    except ValidationError:  # most details are something else
        return None


def _chains(log: Path, event: str, owner: str) -> Iterator[bytes]:
    """Yield the certificate chains of ``owner`` that a log has recorded, each once, the newest first."""
    recorded = [str(one.details.get("chain", "")).encode() for one in _entries(log) if one.event == event]
    for chain in dict.fromkeys(reversed(recorded)):
        try:
            if str(holder_from_pem(chain).identity) == owner:
                yield chain
        except IdentityError:
            continue


def _has_signed(chain: bytes, head: _SignedHead, time: str, roots_pem: bytes | None) -> bool:
    """Whether the holder of ``chain`` has signed ``head``, with a certificate that was good at ``time``."""
    if not isinstance(load_pem_x509_certificate(chain).public_key(), EllipticCurvePublicKey):
        return False
    document = {"owner": head.owner, "n": head.n, "hash": head.hash}
    if not is_sealed_by(chain, bytes.fromhex(head.signature), HEAD, document):
        return False
    if roots_pem is None:
        return True
    try:
        at = datetime.fromisoformat(time)
        check_chain(chain, roots_pem, now=at, serves=holder_from_pem(chain).identity.role is Role.GATEWAY)
    except (IdentityError, TypeError, ValueError):  # a time that is none is somebody's forgery as well
        return False
    return True
