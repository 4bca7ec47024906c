"""A node's decision: everything that is not allowed is refused, and the reason names the clause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.permits.claims import PermitClaims, PermittedDataset, Purpose
from datalab.permits.keys import generate_key, public_key
from datalab.permits.permit import read_claims_unverified, sign_permit
from datalab.permits.revocation import sign_revocations
from federation.app_signature import sign_app
from federation.node.config import AllowedApp, Policy, Setting, Signer, SiteDataset, load_config
from federation.node.ledger import Spending
from federation.node.policy import (
    Approval,
    Asked,
    Facts,
    HeldDataset,
    asked_by,
    check_action,
    check_still_permitted,
    decide,
    explain,
)
from federation.pb import federation_pb2 as pb
from federation.wire.values import encode_config

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = generate_key()
APP = "ab" * 32
CLAIMS = PermitClaims(
    id="permit-1",
    issuer="Access body",
    data_user="Start-up",
    people=("Researcher",),
    project="Test",
    purpose=Purpose.RESEARCH_ALGORITHMS,
    datasets=(PermittedDataset(id="registry", version=1),),
    not_before=NOW - timedelta(days=1),
    expires=NOW + timedelta(days=1),
)
POLICY: dict[str, Any] = {
    "apps": (AllowedApp(sha256=APP),),
    "purposes": frozenset({Purpose.RESEARCH_ALGORITHMS}),
    "minimum_rows": 50,
}
ENTRY = SiteDataset(id="registry", source="raw.csv", contract="c.yaml")
HELD = HeldDataset(entry=ENTRY, rows=100, report_json="{}", folder="/data")
ASKED: dict[str, Any] = {
    "app": APP,
    "dataset": "registry",
    "version": 1,
    "permit": sign_permit(CLAIMS, KEY),
    "purpose": "e-ii",
}


def judged(asked: dict[str, Any] | None = None, /, policy: dict[str, Any] | None = None, **facts: Any) -> Approval:
    """Decide on a good run at a good node, but for what is given; the explanation must say the same."""
    wanted = Asked(**{**ASKED, **(asked or {})})
    known = Facts(
        **{
            "policy": Policy(**{**POLICY, **(policy or {})}),
            "now": NOW,
            "held": [HELD],
            "permit_keys": [public_key(KEY)],
            **facts,
        }
    )
    refusals = [clause.refusal for clause in explain(wanted, known) if clause.refusal is not None]
    if not refusals:
        return decide(wanted, known)
    with pytest.raises(RefusedError) as refused:
        decide(wanted, known)
    assert str(refused.value) == str(refusals[0])
    raise refusals[0]


def spending(epsilon: str = "0", hours_ago: float = 1, dataset: str = "registry") -> Spending:
    return Spending("before", dataset, Decimal(epsilon), NOW - timedelta(hours=hours_ago))


def test_what_policy_and_permit_allow_is_approved() -> None:
    approval = judged()
    assert (approval.dataset, approval.claims, approval.epsilon) == (HELD, CLAIMS, Decimal(0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"app": "01" * 32}, "is not approved on this node"),
        ({"dataset": "another"}, "does not hold that dataset"),
        ({"version": 2}, "does not hold that dataset"),
        ({"purpose": "c"}, "does not serve the purpose"),
        ({"permit": ""}, "permit"),
        ({"permit": ASKED["permit"][:-4] + "AAAA"}, "signature"),
    ],
    ids=["app", "dataset", "version", "purpose", "no permit", "forged permit"],
)
def test_anything_else_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        judged(changes)


@pytest.mark.parametrize("when", [NOW - timedelta(days=2), NOW + timedelta(days=2)])
def test_a_permit_holds_only_between_its_dates(when: datetime) -> None:
    with pytest.raises(RefusedError):
        judged(now=when)


def test_only_pinned_keys_count() -> None:
    for keys in ([], [public_key(generate_key())]):
        with pytest.raises(RefusedError):
            judged(permit_keys=keys)


def test_a_new_key_takes_over_from_an_old_one_while_both_are_pinned() -> None:
    new = generate_key()
    old_permit, new_permit = ASKED["permit"], sign_permit(read_claims_unverified(ASKED["permit"]), new)
    both = [public_key(KEY), public_key(new)]
    for permit in (old_permit, new_permit):
        judged({"permit": permit}, permit_keys=both)
    strict = {"revocations": "revoked.jws"}
    lists = "\n".join(sign_revocations([], signer, issued=NOW) for signer in (KEY, new))
    for signer in (KEY, new):  # both sign the list of revoked permits, and it holds for permits of both
        for permit in (old_permit, new_permit):
            judged({"permit": permit}, permit_keys=both, policy=strict, revocations=lists)
            revoked = sign_revocations(["permit-1"], signer, issued=NOW)
            with pytest.raises(RefusedError, match="revoked"):
                judged({"permit": permit}, permit_keys=both, policy=strict, revocations=revoked)
    judged({"permit": new_permit}, permit_keys=both[1:])
    with pytest.raises(RefusedError, match="not trusted"):
        judged({"permit": old_permit}, permit_keys=both[1:])
    with pytest.raises(RefusedError, match="key"):
        judged(
            {"permit": new_permit},
            permit_keys=both[1:],
            policy=strict,
            revocations=sign_revocations([], KEY, issued=NOW),
        )


def test_where_a_list_of_revoked_permits_is_asked_for_it_must_be_there_fresh_and_without_this_one() -> None:
    strict = {"revocations": "revoked.jws"}
    judged(policy=strict, revocations=sign_revocations(["permit-2"], KEY, issued=NOW - timedelta(days=1)))
    for token, said in (
        (None, "has no list"),
        ("", "has no list"),
        ("no list", "not a document"),
        (sign_revocations(["permit-1"], KEY, issued=NOW), "revoked"),
        (sign_revocations([], KEY, issued=NOW - timedelta(days=8)), "old"),
        (sign_revocations([], generate_key(), issued=NOW), "key"),
    ):
        with pytest.raises(RefusedError, match=said):
            judged(policy=strict, revocations=token)


def test_a_list_that_the_gateway_has_sent_counts_whether_or_not_one_is_asked_for() -> None:
    revoked, other = sign_revocations(["permit-1"], KEY, issued=NOW), sign_revocations(["permit-2"], KEY, issued=NOW)
    old = sign_revocations([], KEY, issued=NOW - timedelta(days=8))
    strict = {"revocations": "revoked.jws"}
    judged(received=[other])
    judged(received=[sign_revocations(["permit-1"], generate_key(), issued=NOW)])  # its key is pinned no more
    for policy in ({}, strict):
        with pytest.raises(RefusedError, match="revoked"):
            judged(policy=policy, received=[other, revoked])
    judged(policy=strict, received=[other])
    judged(policy=strict, revocations=old, received=[other])
    with pytest.raises(RefusedError, match="old"):
        judged(policy=strict, received=[old])
    with pytest.raises(RefusedError, match="revoked"):
        judged(policy=strict, revocations=revoked, received=[other])


def test_the_list_of_another_body_does_not_stand_in_for_the_one_of_the_permits_signer() -> None:
    other, strict = generate_key(), {"revocations": "revoked.jws"}
    both = [public_key(KEY), public_key(other)]
    fresh, own = sign_revocations([], other, issued=NOW), sign_revocations([], KEY, issued=NOW)
    old = sign_revocations([], KEY, issued=NOW - timedelta(days=8))
    for received, revocations, said in (
        ([fresh], "", "has no list"),
        ([fresh, old], "", "old"),
        ([], fresh, "no list"),
    ):
        with pytest.raises(RefusedError, match=said):
            judged(permit_keys=both, policy=strict, received=received, revocations=revocations)
    judged(permit_keys=both, policy=strict, received=[fresh, own])
    judged(permit_keys=both, policy=strict, revocations=f"{fresh}\n{own}\n")
    judged(
        permit_keys=both, policy=strict, received=[sign_revocations([], other, issued=NOW - timedelta(days=80)), own]
    )
    with pytest.raises(RefusedError, match="revoked"):  # whoever is pinned may revoke it
        judged(permit_keys=both, policy=strict, received=[own, sign_revocations(["permit-1"], other, issued=NOW)])


def test_a_list_that_was_received_and_cannot_be_gone_by_any_more_is_not_passed_over() -> None:
    revoked = sign_revocations(["permit-1"], KEY, issued=NOW)
    with pytest.raises(RefusedError, match="future"):  # the node's clock was set back
        judged(received=[sign_revocations(["permit-1"], KEY, issued=NOW + timedelta(hours=1))])
    with pytest.raises(RefusedError, match="changed after it was signed"):
        judged(received=[f"{revoked[:-8]}AAAAAAAA"])
    with pytest.raises(RefusedError, match="not a document"):
        judged(received=[""])


def test_an_empty_policy_allows_nothing() -> None:
    refused = [one.name for one in explain(Asked(**ASKED), Facts(policy=Policy(), now=NOW)) if one.refusal]
    assert refused[:5] == ["app", "configuration", "dataset", "purpose", "permit"]


@given(st.integers(0, 49))
def test_few_rows_are_not_trained_on_and_not_counted_out_loud(rows: int) -> None:
    few = HeldDataset(entry=HELD.entry, rows=rows, report_json="{}", folder="/data")
    with pytest.raises(RefusedError) as refused:
        judged(held=[few])
    assert not any(character.isdigit() for character in str(refused.value))


def test_an_app_gets_only_the_kinds_of_message_it_was_approved_for() -> None:
    approval = judged(policy={"apps": (AllowedApp(sha256=APP, actions=frozenset({"query"})),)})
    for allowed in ("query.moments", "get_parameters", "get_properties"):  # the latter of Flower's older interface
        check_action(approval, allowed)
    for refused in ("train", "train.fast", "evaluate", "", "queryx", "get_parameters.x", "reconnect"):
        with pytest.raises(RefusedError):
            check_action(approval, refused)


LIMITS = {
    "num-server-rounds": Setting(min=1, max=50),
    "optimiser": Setting(values=("sgd", "adam")),
    "layers": Setting(max=512),
    "clip": Setting(values=(True,)),
    "note": Setting(),
}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num-server-rounds": 1, "optimiser": "adam", "layers": [64, 512], "clip": True, "note": "anything"},
        {"num-server-rounds": 50.0, "layers": []},
    ],
)
def test_settings_within_their_ranges_are_allowed(config: dict[str, Any]) -> None:
    judged({"config": config}, policy={"apps": (AllowedApp(sha256=APP, config=LIMITS),)})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num-server-rounds": 51}, "num-server-rounds must be at least 1 and at most 50"),
        ({"num-server-rounds": 0}, "at least 1"),
        ({"num-server-rounds": float("nan")}, "at least 1"),
        ({"num-server-rounds": True}, "at least 1"),
        ({"num-server-rounds": "5"}, "at least 1"),
        ({"optimiser": "adagrad"}, "one of sgd, adam"),
        ({"layers": [64, 513]}, "at most 512"),
        ({"clip": 1}, "one of True"),
        ({"another": 1}, "does not let the app's setting another be set"),
    ],
)
def test_settings_outside_their_ranges_or_unnamed_are_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        judged({"config": config}, policy={"apps": (AllowedApp(sha256=APP, config=LIMITS),)})


def test_an_offer_says_all_that_is_judged_and_no_setting_twice() -> None:
    config = {"rounds": 3, "rate": 0.5, "name": "x", "flag": True, "sizes": [1, 2]}
    offer = pb.Offer(
        app_sha256=bytes.fromhex(APP),
        dataset="registry",
        dataset_version=1,
        permit=ASKED["permit"],
        purpose="e-ii",
        app_signature="a..b",
        config=encode_config(config),
    )
    assert asked_by(offer) == Asked(**ASKED, app_signature="a..b", config=config)
    offer.config.entries.add(key="rounds", integer=1)
    with pytest.raises(RefusedError, match="twice"):
        asked_by(offer)
    del offer.config.entries[:]
    offer.config.entries.add(key="rounds")
    with pytest.raises(RefusedError, match="without a value"):
        asked_by(offer)


class TestSigners:
    """Apps that nobody here approved one by one, by somebody who is trusted here."""

    key = generate_key()
    policy: ClassVar[dict[str, Any]] = {"apps": (), "signers": (Signer(key="a.jwk", actions=frozenset({"query"})),)}

    def test_a_signed_app_may_do_what_its_signer_may(self) -> None:
        signed = {"app_signature": sign_app(APP, self.key)}
        approval = judged(signed, policy=self.policy, signer_keys=[public_key(self.key)])
        assert approval.rule.actions == {"query"}

    @pytest.mark.parametrize(
        "signature",
        [
            "",
            "..",
            "a.b.c",
            sign_app(APP, generate_key()),
            sign_app("cd" * 32, key),
            sign_app(APP, key).replace("..", f".{'YWJhYg'}."),
            sign_permit(CLAIMS, key),
        ],
        ids=["none", "empty", "junk", "another's", "another app's", "attached", "a permit"],
    )
    def test_anything_else_is_not_a_signature(self, signature: str) -> None:
        with pytest.raises(RefusedError, match="not approved on this node"):
            judged({"app_signature": signature}, policy=self.policy, signer_keys=[public_key(self.key)])

    def test_a_digest_in_node_toml_goes_before_its_signer(self) -> None:
        both = {**self.policy, "apps": (AllowedApp(sha256=APP, actions=frozenset({"train"})),)}
        signed = {"app_signature": sign_app(APP, self.key)}
        assert judged(signed, policy=both, signer_keys=[public_key(self.key)]).rule.actions == {"train"}


def test_an_app_that_the_operator_approved_counts_like_one_in_node_toml() -> None:
    assert judged(policy={"apps": ()}, approved=lambda sha256: sha256 == APP).rule.config is None


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"users": frozenset({"Start-up"}), "projects": frozenset({"Test"})}, None),
        ({"users": frozenset({"University"})}, "data user"),
        ({"users": frozenset()}, "data user"),
        ({"users": frozenset({"Start-up"}), "projects": frozenset({"Another"})}, "project"),
    ],
)
def test_data_users_and_projects_are_those_that_the_permit_names(policy: dict[str, Any], said: str | None) -> None:
    if said is None:
        judged(policy=policy)
    else:
        with pytest.raises(RefusedError, match=said):
            judged(policy=policy)


@pytest.mark.parametrize(
    ("hours", "zone", "open_now"),
    [
        ("08:00-18:00", "UTC", True),
        ("12:00-12:01", "UTC", True),
        ("08:00-12:00", "UTC", False),
        ("22:00-06:00", "UTC", False),
        ("11:00-06:00", "UTC", True),
        ("12:30-18:00", "Europe/Amsterdam", True),
        ("08:00-12:30", "Europe/Amsterdam", False),
    ],
)
def test_hours_are_local_and_may_go_over_midnight(hours: str, zone: str, *, open_now: bool) -> None:
    policy: dict[str, Any] = {"hours": hours, "time_zone": zone}
    if open_now:
        check_still_permitted(judged(policy=policy), Policy(**policy), NOW)
    else:
        with pytest.raises(RefusedError, match="takes part in runs from"):
            judged(policy=policy)
        with pytest.raises(RefusedError, match="hours have ended"):
            check_still_permitted(judged(), Policy(**policy), NOW)


def test_runs_are_counted_by_the_local_day() -> None:
    today = [spending(hours_ago=1), spending(hours_ago=11)]
    judged(policy={"maximum_runs_a_day": 2}, spendings=[today[0], spending(hours_ago=13)])
    with pytest.raises(RefusedError, match="as many runs today"):
        judged(policy={"maximum_runs_a_day": 2}, spendings=today)
    # Midnight in Kiritimati (UTC+14) was at 10:00 UTC.
    judged(policy={"maximum_runs_a_day": 2, "time_zone": "Pacific/Kiritimati"}, spendings=today)


class TestPrivacyBudget:
    """What runs declare, and what is left."""

    held = (HeldDataset(entry=ENTRY.model_copy(update={"privacy_budget": 0.3}), rows=100, report_json="", folder=""),)

    def judged(self, config: dict[str, Any], *spent: Spending, **privacy: Any) -> Approval:
        return judged({"config": config}, policy={"privacy": privacy}, held=self.held, spendings=spent)

    def test_it_can_be_spent_to_the_last_bit_and_no_further(self) -> None:
        twice = (spending("0.1", 48), spending("0.1", 24))
        assert self.judged({"privacy-epsilon": 0.1}, *twice).epsilon == Decimal("0.1")
        with pytest.raises(RefusedError, match="more than is left"):
            self.judged({"privacy-epsilon": 0.100001}, *twice)
        self.judged({"privacy-epsilon": 0.3}, spending("5", dataset="another"))

    def test_a_run_that_declares_nothing_costs_nothing_unless_it_must(self) -> None:
        assert self.judged({}, spending("0.3")).epsilon == 0
        for config in ({}, {"privacy-epsilon": 0.0}):
            with pytest.raises(RefusedError, match="asks every run to declare"):
                self.judged(config, required=True)
        assert self.judged({"eps": 0.2}, required=True, setting="eps").epsilon == Decimal("0.2")

    @pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), -(10**400), True, "0.1", [0.1]])
    def test_what_is_not_an_amount_is_refused(self, value: Any) -> None:
        with pytest.raises(RefusedError, match="must be a number"):
            self.judged({"privacy-epsilon": value})

    @given(st.lists(st.decimals(0, 1, places=3), max_size=20), st.floats(0, 1))
    def test_what_is_allowed_never_goes_over_the_budget(self, before: list[Decimal], asked: float) -> None:
        spent = [spending(str(one)) for one in before]
        try:
            approval = self.judged({"privacy-epsilon": asked}, *spent)
        except RefusedError:
            assert sum(before) + Decimal(str(asked)) > Decimal("0.3")
        else:
            assert approval.epsilon == 0 or sum(before) + approval.epsilon <= Decimal("0.3")


def test_an_explanation_goes_on_after_the_first_refusal_and_says_what_it_cannot_tell() -> None:
    facts = Facts(policy=Policy(**POLICY, hours="13:00-14:00"), now=NOW, held=[HELD], permit_keys=[])
    clauses = {one.name: one for one in explain(Asked(**{**ASKED, "purpose": "f"}), facts)}
    refused = [name for name, one in clauses.items() if one.refusal is not None]
    assert refused[:3] == ["purpose", "permit", "permit: dataset"]
    assert refused[-1] == "hours"
    assert clauses["permit: dataset"].why == "cannot be told: see permit"
    assert clauses["minimum rows"].refusal is None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[policy]\nminimum_row = 5", "policy.minimum_row"),
        ("[[policy.apps]]\nsha256 = 'short'", "policy.apps.0.sha256"),
        ("[policy]\nsandbox = 'perhaps'", "policy.sandbox"),
        ("[[datasets]]\nid = '../up'\nsource = 'x'", "datasets.0.id"),
        ("[[datasets", "TOML"),
        ("[policy]\nhours = '8-18'", "policy.hours"),
        ("[policy]\nhours = '08:00-08:00'", "policy.hours"),
        ("[policy]\ntime_zone = 'Europe/Atlantis'", "policy.time_zone"),
        ("[policy]\ntime_zone = '../../etc/passwd'", "policy.time_zone"),
        (
            f"[[policy.apps]]\nsha256 = '{APP}'\nconfig = {{ rounds = {{ min = 5, max = 1 }} }}",
            "policy.apps.0.config.rounds",
        ),
        ("[[datasets]]\nid = 'a'\nsource = 's3://bucket/key'", "datasets.0"),
        (
            "[[datasets]]\nid = 'a'\nsource = 's3://bucket'\ns3 = { endpoint = 'https://s3', credentials = 'c' }",
            "bucket/key",
        ),
        (
            "[[datasets]]\nid = 'a'\nsource = 's3://b/k'\ns3 = { endpoint = 'http://s3.example', credentials = 'c' }",
            "datasets.0.s3.endpoint",
        ),
        ("[[datasets]]\nid = 'a'\nsource = 'x'\nprivacy_budget = inf", "datasets.0.privacy_budget"),
        ("[node_config]\ndataset = '/etc/passwd'", "node_config"),
        ("[node_config]\nparts = [1]", "node_config.parts"),
    ],
)
def test_a_mistake_in_node_toml_is_named_by_its_field(tmp_path: Path, text: str, field: str) -> None:
    (tmp_path / "node.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=field):
        load_config(tmp_path)


def test_a_missing_node_toml_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"node\.toml"):
        load_config(tmp_path)
