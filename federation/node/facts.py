"""Gathers what a node goes by when it decides; what is replaced while the agent runs is read anew each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from datalab.permits.keys import load_public_key
from datalab.permits.lists import FOLDER, RevocationFiles
from federation.node.approvals import is_approved
from federation.node.config import NodeConfig, Policy
from federation.node.ledger import Spending
from federation.node.policy import Facts, HeldDataset

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey


@dataclass(frozen=True)
class Keys:
    """Public keys that a policy names: of permits and of signers, each in the policy's order."""

    permits: tuple[OKPKey, ...] = ()
    signers: tuple[OKPKey, ...] = ()

    @classmethod
    def load(cls, home: Path, policy: Policy) -> Self:
        """Read them.

        Raises:
            NotFoundError: a file cannot be read.
            IdentityError: it is not a public Ed25519 JWK.
        """
        return cls(
            tuple(load_public_key(home / name) for name in policy.permit_keys),
            tuple(load_public_key(home / signer.key) for signer in policy.signers),
        )


def gather(
    home: Path,
    config: NodeConfig,
    held: Sequence[HeldDataset],
    keys: Keys,
    spendings: Sequence[Spending],
    now: datetime,
) -> Facts:
    """Return what the node in ``home`` goes by at this moment."""
    return Facts(
        policy=config.policy,
        now=now,
        held=held,
        permit_keys=keys.permits,
        signer_keys=keys.signers,
        approved=lambda sha256: is_approved(home, sha256),
        revocations=_revocations(home, config.policy),
        received=RevocationFiles(home / FOLDER).tokens(),
        spendings=spendings,
    )


def _revocations(home: Path, policy: Policy) -> str | None:
    try:
        return None if policy.revocations is None else (home / policy.revocations).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):  # the clause on revoked permits refuses, and says so
        return None
