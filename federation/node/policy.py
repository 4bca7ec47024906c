"""The node's decision on a run, clause by clause: pure, from its own policy, the signed permit, and what it holds.

Deny by default: each clause must allow the run, and the first that does not is the reason given to the lab. A reason
names the clause, never a value of the data. ``datalab node check`` shows all of them, from the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from datalab.errors import RefusedError
from datalab.permits.claims import PermitClaims
from datalab.permits.errors import PermitError, Reason
from datalab.permits.lists import signer_of
from datalab.permits.permit import KIND as PERMIT_KIND
from datalab.permits.permit import verify_permit
from datalab.permits.revocation import RevocationList
from datalab.permits.signature import signer_named
from datalab.permits.use import permits_app, permits_dataset, permits_purpose
from federation.app_signature import check_app_signature
from federation.node.config import Policy, Rule, SiteDataset
from federation.node.ledger import Spending, epsilon_spent, runs_on_day
from federation.pb import federation_pb2 as pb

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

OLDER_QUERIES = frozenset({"get_parameters", "get_properties"})
"""Kinds of message of Flower's older interface (``NumPyClient``) that have no kind of their own any more."""


@dataclass(frozen=True)
class HeldDataset:
    """A dataset that is ready for training.

    Attributes:
        entry: its part of ``node.toml``.
        rows: rows in the curated file; known here, announced only as far as disclosure rules allow.
        report_json: the announced form of the curation report.
        folder: holds ``data.parquet``.
        left_out: a digest of who was left out when it was made ready; of a version published at the lab, its own.
    """

    entry: SiteDataset
    rows: int
    report_json: str
    folder: str
    left_out: str = ""


@dataclass(frozen=True)
class Asked:
    """What a run asks of a node; ``app`` is the bundle's digest, ``config`` all of the app's settings."""

    app: str
    dataset: str
    version: int
    purpose: str
    permit: str
    app_signature: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What the node goes by when it decides.

    Attributes:
        policy: of its ``node.toml``.
        now: the time.
        held: the datasets that it has.
        permit_keys: public keys whose permits count here.
        signer_keys: public keys of the policy's signers, in their order.
        approved: whether the operator has approved the app with a digest.
        revocations: the signed lists of revoked permits in the file that the policy names, one a line; None if there
            is no such file.
        received: the signed lists that the gateway has sent, each the latest of its key.
        spendings: what was spent before.
    """

    policy: Policy
    now: datetime
    held: Sequence[HeldDataset] = ()
    permit_keys: Sequence[OKPKey] = ()
    signer_keys: Sequence[OKPKey] = ()
    approved: Callable[[str], bool] = lambda _: False
    revocations: str | None = None
    received: Sequence[str] = ()
    spendings: Sequence[Spending] = ()


@dataclass(frozen=True)
class Clause:
    """What one clause says of a run; ``refusal`` is None where it allows it."""

    name: str
    why: str
    refusal: RefusedError | None = None


@dataclass(frozen=True)
class Approval:
    """What a run may do here: run this app, within its rule, on this dataset, under this permit.

    Attributes:
        signer: id of the key that has signed the permit.
        epsilon: what it spends of the dataset's privacy budget.
    """

    rule: Rule
    dataset: HeldDataset
    claims: PermitClaims
    signer: str
    epsilon: Decimal


def asked_by(offer: pb.Offer) -> Asked:
    """Return what an offer asks for.

    Raises:
        RefusedError: its configuration names a setting twice, or gives it no value.
    """
    config: dict[str, Any] = {}
    for entry in offer.config.entries:
        kind = entry.WhichOneof("value")
        if kind is None or entry.key in config:
            raise RefusedError("The run's configuration names a setting twice, or without a value.")
        value = getattr(entry, kind)
        config[entry.key] = list(value.values) if hasattr(value, "values") else value
    return Asked(
        app=offer.app_sha256.hex(),
        dataset=offer.dataset,
        version=offer.dataset_version,
        purpose=offer.purpose,
        permit=offer.permit,
        app_signature=offer.app_signature,
        config=config,
    )


def decide(asked: Asked, facts: Facts) -> Approval:
    """Return what the run may do here.

    Raises:
        RefusedError: a clause of the policy or of the permit does not allow it; the error says which.
    """
    case = _Case(asked, facts)
    for clause in _judge(case):
        if clause.refusal is not None:
            raise clause.refusal
    return Approval(case.rule, case.dataset, case.claims, case.signer, case.epsilon)


def explain(asked: Asked, facts: Facts) -> list[Clause]:
    """Return what every clause says of the run; ``decide`` allows it exactly if all of them do."""
    return _judge(_Case(asked, facts))


def check_action(approval: Approval, message_type: str) -> None:
    """Raise RefusedError unless the app may be sent this kind of message (``train``, ``train.fast``, …).

    What Flower's older interface asks a client for besides (its properties, initial parameters) is a query.
    """
    kind = message_type.partition(".")[0]
    if ("query" if message_type in OLDER_QUERIES else kind) not in approval.rule.actions:
        raise RefusedError("This node's policy does not allow that kind of message for this app.")


def check_still_permitted(approval: Approval, policy: Policy, now: datetime) -> None:
    """Raise RefusedError once the run's permit has expired, or outside the node's hours."""
    if now >= approval.claims.expires:
        raise RefusedError("The permit has expired while the run went on.")
    if not policy.open_at(now):
        raise RefusedError("This node's hours have ended while the run went on.")


def check_not_revoked(claims: PermitClaims, signer: str, facts: Facts) -> str:
    """Return how it is known that a permit is not revoked.

    No list may name it. Where the policy asks for a fresh one, that is one by the key that has signed the permit: what
    another body revokes says nothing of it.

    Args:
        claims: of the permit.
        signer: id of the key that has signed it.
        facts: what the node goes by.

    Raises:
        RefusedError: it is revoked, or it is not known that it is not.
    """
    known = _lists(facts)
    for _, one in known:
        one.check(claims)
    newest = max((one for key, one in known if key == signer), key=lambda one: one.issued, default=None)
    if facts.policy.revocations is not None:
        if newest is None:
            raise RefusedError("This node has no list of revoked permits by the key that has signed this permit.")
        newest.check_fresh(facts.now, timedelta(days=facts.policy.revocations_days))
    if newest is None:
        return "no list of revoked permits is asked for here"
    return f"not on the list of {newest.issued.isoformat()}"


def _lists(facts: Facts) -> list[tuple[str, RevocationList]]:
    """Return the lists that count, each after its key's id.

    They are those received, as far as their keys are pinned still, and the file's.

    Raises:
        PermitError: what one of them says cannot be told, so that no permit is known not to be on it.
    """
    found = []
    for token in facts.received:
        try:
            found.append(signer_of(token, facts.permit_keys, now=facts.now))
        except PermitError as error:
            if error.reason is not Reason.UNKNOWN_KEY:  # changed on the disk, or this machine's clock was set back
                raise
    in_file = (facts.revocations or "").split()
    return found + [signer_of(token, facts.permit_keys, now=facts.now) for token in in_file]


class _Case:
    """One run and the facts that it is judged by; what clauses share is found once."""

    def __init__(self, asked: Asked, facts: Facts) -> None:
        self.asked = asked
        self.facts = facts
        self.policy = facts.policy

    @cached_property
    def rule(self) -> Rule:
        """How far the app may go: as ``node.toml`` says, else any way for an approved one, else as for its signer."""
        for app in self.policy.apps:
            if app.sha256 == self.asked.app:
                return app
        if self.facts.approved(self.asked.app):
            return Rule()
        if self.asked.app_signature:
            for signer, key in zip(self.policy.signers, self.facts.signer_keys, strict=True):
                try:
                    check_app_signature(self.asked.app_signature, self.asked.app, key)
                except RefusedError:
                    continue
                return signer
        unsigned = (
            "its signature is by nobody whom this node trusts" if self.asked.app_signature else "it is not signed"
        )
        raise RefusedError(
            f"The app {self.asked.app[:12]}… is not approved on this node"
            f"{f', and {unsigned}' if self.policy.signers else ''}.",
            next_step="Ask the node's operator to read it, and to approve it with: datalab node approve",
        )

    @cached_property
    def dataset(self) -> HeldDataset:
        for dataset in self.facts.held:
            if (dataset.entry.id, dataset.entry.version) == (self.asked.dataset, self.asked.version):
                return dataset
        raise RefusedError("This node does not hold that dataset in that version.")

    @cached_property
    def claims(self) -> PermitClaims:
        return verify_permit(self.asked.permit, self.facts.permit_keys, now=self.facts.now)

    @cached_property
    def signer(self) -> str:
        """Id of the key that has signed the permit; asked for once its claims are verified."""
        return signer_named(self.asked.permit, kind=PERMIT_KIND)

    @cached_property
    def epsilon(self) -> Decimal:
        """What the run declares that it spends."""
        setting = self.policy.privacy.setting
        value = self.asked.config.get(setting)
        if value is None:
            return Decimal(0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise RefusedError(f"The setting {setting} must be a number, zero or greater.")
        return Decimal(str(value))


def _app(case: _Case) -> str:
    return f"approved; it may be sent {', '.join(sorted(case.rule.actions))}"


def _configuration(case: _Case) -> str:
    allowed = case.rule.config
    if allowed is None:
        return "the app's settings are not limited here"
    for name, value in case.asked.config.items():
        if name not in allowed:
            raise RefusedError(f"This node's policy does not let the app's setting {name[:100]} be set.")
        if not allowed[name].allows(value):
            raise RefusedError(f"The app's setting {name} must be {allowed[name]} on this node.")
    return "every setting is within its range"


def _dataset(case: _Case) -> str:
    return f"{case.dataset.entry.id} version {case.dataset.entry.version} is held here"


def _purpose(case: _Case) -> str:
    if case.asked.purpose not in case.policy.purposes:
        raise RefusedError(f"This node does not serve the purpose {case.asked.purpose[:20]!r}.")
    return f"this node serves {case.asked.purpose}"


def _permit(case: _Case) -> str:
    return f"{case.claims.id}, signed by a key that is pinned here, holds until {case.claims.expires.isoformat()}"


def _permit_dataset(case: _Case) -> str:
    permits_dataset(case.claims, case.asked.dataset, case.asked.version)
    return "the permit names it"


def _permit_purpose(case: _Case) -> str:
    permits_purpose(case.claims, case.asked.purpose)
    return f"the permit is for {case.claims.purpose}"


def _permit_app(case: _Case) -> str:
    permits_app(case.claims, case.asked.app)
    return "the permit names it" if case.claims.apps else "the permit names no apps"


def _revocation(case: _Case) -> str:
    return check_not_revoked(case.claims, case.signer, case.facts)


def _user(case: _Case) -> str:
    if case.policy.users is None:
        return "any data user with a permit"
    if case.claims.data_user not in case.policy.users:
        raise RefusedError("This node does not serve the data user that the permit names.")
    return f"this node serves {case.claims.data_user}"


def _project(case: _Case) -> str:
    if case.policy.projects is None:
        return "any project with a permit"
    if case.claims.project not in case.policy.projects:
        raise RefusedError("This node does not serve the project that the permit names.")
    return f"this node serves {case.claims.project}"


def _rows(case: _Case) -> str:
    if case.dataset.rows < case.policy.minimum_rows:
        raise RefusedError("The dataset has fewer rows here than this node's policy asks for.")
    return f"at least {case.policy.minimum_rows}"


def _hours(case: _Case) -> str:
    if not case.policy.open_at(case.facts.now):
        raise RefusedError(f"This node takes part in runs from {case.policy.hours} ({case.policy.time_zone}) only.")
    return case.policy.hours or "always"


def _runs_a_day(case: _Case) -> str:
    limit = case.policy.maximum_runs_a_day
    if limit is None:
        return "any number"
    done = runs_on_day(case.facts.spendings, case.facts.now, case.policy.zone)
    if done >= limit:
        raise RefusedError("This node has accepted as many runs today as its policy allows.")
    return f"{done} of {limit} today"


def _budget(case: _Case) -> str:
    if case.policy.privacy.required and not case.epsilon:
        raise RefusedError(
            f"This node asks every run to declare what privacy it spends, in the setting {case.policy.privacy.setting}."
        )
    budget = case.dataset.entry.privacy_budget
    if budget is None:
        return f"the run spends {case.epsilon}; the dataset has no budget"
    left = Decimal(str(budget)) - epsilon_spent(case.facts.spendings, case.asked.dataset)
    if case.epsilon > max(left, Decimal(0)):
        raise RefusedError("The run spends more than is left of the dataset's privacy budget on this node.")
    return f"the run spends {case.epsilon} of the {left} left"


_CLAUSES: tuple[tuple[str, Callable[[_Case], str], tuple[str, ...]], ...] = (
    ("app", _app, ()),
    ("configuration", _configuration, ("app",)),
    ("dataset", _dataset, ()),
    ("purpose", _purpose, ()),
    ("permit", _permit, ()),
    ("permit: dataset", _permit_dataset, ("permit",)),
    ("permit: purpose", _permit_purpose, ("permit",)),
    ("permit: app", _permit_app, ("permit",)),
    ("permit: not revoked", _revocation, ("permit",)),
    ("data user", _user, ("permit",)),
    ("project", _project, ("permit",)),
    ("minimum rows", _rows, ("dataset",)),
    ("hours", _hours, ()),
    ("runs a day", _runs_a_day, ()),
    ("privacy budget", _budget, ("dataset",)),
)
"""Each clause, how it is judged, and the clauses without which it cannot be."""


def _judge(case: _Case) -> list[Clause]:
    clauses: dict[str, Clause] = {}
    for name, judge, needs in _CLAUSES:
        missing = next((clauses[one] for one in needs if clauses[one].refusal is not None), None)
        try:
            clauses[name] = (
                Clause(name, judge(case))
                if missing is None
                else Clause(name, f"cannot be told: see {missing.name}", missing.refusal)
            )
        except RefusedError as error:
            clauses[name] = Clause(name, str(error), error)
    return list(clauses.values())
