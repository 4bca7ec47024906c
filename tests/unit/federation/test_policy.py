"""A node's decision: everything that is not allowed is refused, and the reason names the clause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.permits.claims import PermitClaims, PermittedDataset, Purpose
from datalab.permits.keys import generate_key, public_key
from datalab.permits.permit import sign_permit
from datalab.permits.revocation import sign_revocations
from federation.node.config import AllowedApp, NodeConfig, Policy, SiteDataset, load_config
from federation.node.policy import HeldDataset, check_action, decide
from federation.pb import federation_pb2 as pb

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
CONFIG = NodeConfig(
    datasets=(SiteDataset(id="registry", source="raw.csv", contract="c.yaml"),),
    policy=Policy(apps=(AllowedApp(sha256=APP),), purposes=frozenset({Purpose.RESEARCH_ALGORITHMS}), minimum_rows=50),
)
HELD = HeldDataset(entry=CONFIG.datasets[0], rows=100, report_json="{}", folder="/data")
OFFER: dict[str, Any] = {
    "run_id": "run-1",
    "app_sha256": bytes.fromhex(APP),
    "dataset": "registry",
    "dataset_version": 1,
    "permit": sign_permit(CLAIMS, KEY),
    "purpose": "e-ii",
}


def offer(**changes: Any) -> pb.Offer:
    return pb.Offer(**{**OFFER, **changes})


def test_what_policy_and_permit_allow_is_approved() -> None:
    approval = decide(offer(), CONFIG, [HELD], [public_key(KEY)], NOW)
    assert (approval.dataset, approval.claims) == (HELD, CLAIMS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"app_sha256": b"\1" * 32}, "is not approved on this node"),
        ({"dataset": "another"}, "does not hold that dataset"),
        ({"dataset_version": 2}, "does not hold that dataset"),
        ({"purpose": "c"}, "does not serve the purpose"),
        ({"permit": ""}, "permit"),
        ({"permit": OFFER["permit"][:-4] + "AAAA"}, "signature"),
    ],
    ids=["app", "dataset", "version", "purpose", "no permit", "forged permit"],
)
def test_anything_else_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        decide(offer(**changes), CONFIG, [HELD], [public_key(KEY)], NOW)


@pytest.mark.parametrize("when", [NOW - timedelta(days=2), NOW + timedelta(days=2)])
def test_a_permit_holds_only_between_its_dates(when: datetime) -> None:
    with pytest.raises(RefusedError):
        decide(offer(), CONFIG, [HELD], [public_key(KEY)], when)


def test_only_pinned_keys_count() -> None:
    for keys in ([], [public_key(generate_key())]):
        with pytest.raises(RefusedError):
            decide(offer(), CONFIG, [HELD], keys, NOW)


def test_where_a_list_of_revoked_permits_is_asked_for_it_must_be_there_fresh_and_without_this_one() -> None:
    strict = CONFIG.model_copy(update={"policy": CONFIG.policy.model_copy(update={"revocations": "revoked.jws"})})
    keys = [public_key(KEY)]
    fresh = sign_revocations(["permit-2"], KEY, issued=NOW - timedelta(days=1))
    decide(offer(), strict, [HELD], keys, NOW, fresh)
    for token, said in (
        (None, ""),
        (sign_revocations(["permit-1"], KEY, issued=NOW), "revoked"),
        (sign_revocations([], KEY, issued=NOW - timedelta(days=8)), "old"),
        (sign_revocations([], generate_key(), issued=NOW), "key"),
    ):
        with pytest.raises(RefusedError) as refused:
            decide(offer(), strict, [HELD], keys, NOW, token)
        assert said in str(refused.value)


def test_an_empty_policy_allows_nothing() -> None:
    with pytest.raises(RefusedError):
        decide(offer(), NodeConfig(), [HELD], [public_key(KEY)], NOW)


@given(st.integers(0, 49))
def test_few_rows_are_not_trained_on_and_not_counted_out_loud(rows: int) -> None:
    few = HeldDataset(entry=HELD.entry, rows=rows, report_json="{}", folder="/data")
    with pytest.raises(RefusedError) as refused:
        decide(offer(), CONFIG, [few], [public_key(KEY)], NOW)
    assert not any(character.isdigit() for character in str(refused.value))


def test_an_app_gets_only_the_kinds_of_message_it_was_approved_for() -> None:
    asks = CONFIG.model_copy(
        update={
            "policy": CONFIG.policy.model_copy(update={"apps": (AllowedApp(sha256=APP, actions=frozenset({"query"})),)})
        }
    )
    approval = decide(offer(), asks, [HELD], [public_key(KEY)], NOW)
    check_action(approval, "query.moments")
    for refused in ("train", "train.fast", "evaluate", "", "queryx"):
        with pytest.raises(RefusedError):
            check_action(approval, refused)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[policy]\nminimum_row = 5", "policy.minimum_row"),
        ("[[policy.apps]]\nsha256 = 'short'", "policy.apps.0.sha256"),
        ("[policy]\nsandbox = 'perhaps'", "policy.sandbox"),
        ("[[datasets]]\nid = '../up'\nsource = 'x'", "datasets.0.id"),
        ("[[datasets", "TOML"),
    ],
)
def test_a_mistake_in_node_toml_is_named_by_its_field(tmp_path: Path, text: str, field: str) -> None:
    (tmp_path / "node.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=field):
        load_config(tmp_path)


def test_a_missing_node_toml_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"node\.toml"):
        load_config(tmp_path)
