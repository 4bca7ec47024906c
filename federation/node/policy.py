"""The node's decision on a run: pure, from its own policy, the signed permit, and what it holds.

Deny by default: each check must pass, and the first that does not is the reason given. The reason names the clause,
never a value of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from datalab.errors import RefusedError
from datalab.permits.claims import PermitClaims
from datalab.permits.permit import verify_permit
from datalab.permits.revocation import verify_revocations
from datalab.permits.use import permits
from federation.node.config import AllowedApp, NodeConfig, SiteDataset
from federation.pb import federation_pb2 as pb

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey


@dataclass(frozen=True)
class HeldDataset:
    """A dataset that is ready for training.

    Attributes:
        entry: its part of ``node.toml``.
        rows: rows in the curated file; known here, announced only as far as disclosure rules allow.
        report_json: the announced form of the curation report.
        folder: holds ``data.parquet``.
    """

    entry: SiteDataset
    rows: int
    report_json: str
    folder: str


@dataclass(frozen=True)
class Approval:
    """What a run may do here: run this app on this dataset, under this permit."""

    app: AllowedApp
    dataset: HeldDataset
    claims: PermitClaims


def decide(
    offer: pb.Offer,
    config: NodeConfig,
    held: Sequence[HeldDataset],
    keys: Sequence[OKPKey],
    now: datetime,
    revocations: str | None = None,
) -> Approval:
    """Return what the offered run may do here.

    Args:
        offer: what the lab asks for.
        config: this node's own rules.
        held: the datasets that it has.
        keys: public keys whose permits count here.
        now: the time.
        revocations: the signed list of revoked permits; needed where the policy names one.

    Raises:
        RefusedError: a clause of the policy or of the permit does not allow it; the error says which.
    """
    app = _allowed_app(offer.app_sha256.hex(), config)
    dataset = _dataset(offer, held)
    if offer.purpose not in config.policy.purposes:
        raise RefusedError(f"This node does not serve the purpose {offer.purpose[:20]!r}.")
    claims = verify_permit(offer.permit, keys, now=now)
    permits(
        claims,
        dataset=offer.dataset,
        version=offer.dataset_version,
        purpose=offer.purpose,
        app_digest=offer.app_sha256.hex(),
    )
    if config.policy.revocations is not None:
        max_age = timedelta(days=config.policy.revocations_days)
        verify_revocations(revocations or "", keys, now=now, max_age=max_age).check(claims)
    if dataset.rows < config.policy.minimum_rows:
        raise RefusedError("The dataset has fewer rows here than this node's policy asks for.")
    return Approval(app, dataset, claims)


def check_action(approval: Approval, message_type: str) -> None:
    """Raise RefusedError unless the app may be sent this kind of message (``train``, ``train.fast``, …)."""
    if message_type.partition(".")[0] not in approval.app.actions:
        raise RefusedError("This node's policy does not allow that kind of message for this app.")


def check_still_permitted(approval: Approval, now: datetime) -> None:
    """Raise RefusedError once the permit that the run was approved under has expired."""
    if now >= approval.claims.expires:
        raise RefusedError("The permit has expired while the run went on.")


def _allowed_app(sha256: str, config: NodeConfig) -> AllowedApp:
    for app in config.policy.apps:
        if app.sha256 == sha256:
            return app
    raise RefusedError(
        f"The app {sha256[:12]}… is not approved on this node.",
        next_step="Ask the node's operator to read it and add its digest to node.toml under [[policy.apps]].",
    )


def _dataset(offer: pb.Offer, held: Sequence[HeldDataset]) -> HeldDataset:
    for dataset in held:
        if (dataset.entry.id, dataset.entry.version) == (offer.dataset, offer.dataset_version):
            return dataset
    raise RefusedError("This node does not hold that dataset in that version.")
