"""Whether an offered run is taken: who has signed it, what the policy says, and what it is charged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from datalab.audit.log import AuditLog
from datalab.errors import IdentityError, RefusedError
from datalab.home import Home
from federation.node.config import NodeConfig
from federation.node.facts import Keys, gather
from federation.node.ledger import Ledger, Spending
from federation.node.ledger import privacy_left as left
from federation.node.policy import Facts, HeldDataset, asked_by, decide
from federation.node.run import NodeRun, left_behind
from federation.node.trust import GatewayTrust
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Holder, Role
from federation.pki.keys import Credentials
from federation.pki.seal import OFFER, check_seal
from federation.wire.sealed import offer_document


class Admission:
    """Takes or refuses offered runs.

    Args:
        node: this node's name.
        home: the node's home.
        config: its ``node.toml``.
        held: its datasets.
        keys: public keys that its policy names.
        audit: the node's own audit log.
        ledger: what runs have used up here.
        trust: what is known of the gateway, and who is revoked.
        credentials: returns the node's present credentials.
    """

    def __init__(
        self,
        node: str,
        home: Home,
        config: NodeConfig,
        held: Sequence[HeldDataset],
        keys: Keys,
        audit: AuditLog,
        ledger: Ledger,
        trust: GatewayTrust,
        credentials: Callable[[], Credentials],
    ) -> None:
        self._node = node
        self._home = home
        self._config = config
        self._held = held
        self._keys = keys
        self._audit = audit
        self._ledger = ledger
        self._trust = trust
        self._credentials = credentials

    def announcements(self) -> list[pb.DatasetAnnouncement]:
        """Return what the node says about its datasets: schema, permitted counts, what is left of privacy budgets."""
        return [
            pb.DatasetAnnouncement(
                id=one.entry.id,
                version=one.entry.version,
                report_json=one.report_json,
                held_here=not one.entry.in_lab,
                privacy_left=self.privacy_left(one.entry.id),
            )
            for one in self._held
        ]

    def privacy_left(self, dataset: str) -> float | None:
        """Return what is left of a dataset's privacy budget; None where it has none."""
        budget = next((one.entry.privacy_budget for one in self._held if one.entry.id == dataset), None)
        return left(self._ledger.spendings, dataset, budget)

    def approve(self, offer: pb.Offer) -> tuple[NodeRun, Holder]:
        """Return an offered run, which has been charged, and its runner.

        Raises:
            RefusedError: it may not run here.
        """
        runner = self.check_runner(offer)
        now = datetime.now(UTC)
        charged = left_behind(self._home, offer) and any(one.run == offer.run_id for one in self._ledger.spendings)
        approval = decide(asked_by(offer), self.facts(now, without=offer.run_id if charged else ""))
        if not charged:  # else it goes on with what it has recorded, and does nothing twice
            spent = self._ledger.spend(Spending(offer.run_id, offer.dataset, approval.epsilon, now))
            self._audit.append("run charged", run=offer.run_id, epsilon=str(approval.epsilon), ledger_head=str(spent))
        return NodeRun(self._node, offer, approval, self._config, self._home), runner

    def facts(self, now: datetime, without: str = "") -> Facts:
        """Return what a decision rests on; without what one run, which goes on, has been charged."""
        spendings = tuple(one for one in self._ledger.spendings if one.run != without)
        return gather(self._home.path, self._config, self._held, self._keys, spendings, now)

    def check_runner(self, offer: pb.Offer) -> Holder:
        """Return the runner that has signed this very offer; a gateway cannot make one up.

        Raises:
            RefusedError: it is not signed, or not by this run's runner.
        """
        if not offer.runner_signature:
            raise RefusedError("The offer is not signed by the run's runner.", next_step="Upgrade the lab.")
        try:
            runner = check_seal(
                offer.runner_signature,
                OFFER,
                offer_document(offer, self._node),
                chain_pem=offer.runner_chain_pem,
                trust_pem=self._credentials().trust_pem,
                role=Role.RUNNER,
                now=datetime.now(UTC),
                revoked=self._trust.revoked,
            )
        except IdentityError as error:
            raise RefusedError(f"The offer is not by a runner of this federation: {error.what}") from error
        if runner.identity.name != offer.run_id:
            raise RefusedError("The offer is signed by the runner of another run.")
        return runner
