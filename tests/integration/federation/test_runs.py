"""Runs over real processes: what comes out, what is refused and by whom, and what a failure looks like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datalab.audit.log import AuditLog
from datalab.audit.verification import verify
from datalab.errors import DatalabError, ExitCode
from datalab.permits.claims import PermittedDataset, Purpose
from datalab.permits.keys import generate_key
from datalab.permits.permit import read_claims_unverified, sign_permit
from federation.errors import RunFailedError
from federation.flower.seam import flower_id
from federation.wire.protocol import CHUNK_BYTES, INLINE_ARRAY_BYTES
from tests.integration.federation.conftest import HOSTILE, NODES
from tests.support.federation import Federation


def model(folder: Any) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = np.load(folder.artifacts / "model.npy")
    return values


def test_a_run_completes_and_its_card_says_everything(federation: Federation) -> None:
    run = federation.run(NODES, config={"num-server-rounds": 3}, seed=7)
    card = run.read_card()
    assert card["outcome"] == "completed"
    assert [one["number"] for one in card["rounds"]] == [1, 2, 3]
    assert [one["loss"] for one in card["rounds"]] == [1.0, 2.0, 3.0]
    assert {one["identity"] for one in card["nodes"]} == {f"spiffe://datalab.local/node/{name}" for name in NODES}
    assert all(one["decision"]["code"] == "accepted" for one in card["nodes"])
    assert card["seed"] == 7
    assert [one["name"] for one in card["artifacts"]] == ["model.npy"]
    np.testing.assert_array_equal(model(run), np.full(250, 3.0, np.float32))
    assert not run.token.exists()


@pytest.mark.parametrize(
    ("spoil", "why"), [("nan", "not finite"), ("shape", "another shape"), ("fewer", "the other nodes")]
)
def test_a_reply_that_no_strategy_could_use_is_refused_and_the_run_goes_on(
    federation: Federation, spoil: str, why: str
) -> None:
    bad = NODES[0]
    spoilt = str(flower_id(bad))
    run = federation.run(NODES, config={"num-server-rounds": 2, "spoil": spoil, "spoil-node": spoilt})
    np.testing.assert_array_equal(model(run), np.full(250, 2.0, np.float32))
    logs = federation.lab.path / "gateway" / "audit.jsonl", federation.node_home(bad).path / "audit.jsonl"
    for log, event in zip(logs, ("reply refused", "reply refused by the lab"), strict=True):
        entries = [json.loads(line) for line in log.read_bytes().splitlines()]
        reasons = [
            entry["details"]["reason"]
            for entry in entries
            if entry["event"] == event and entry["details"]["run"] == run.read_card()["run"]
        ]
        assert len(reasons) == 2
        assert all(why in reason for reason in reasons)


def test_a_large_model_moves_once_each_way(federation: Federation) -> None:
    size = 5 * CHUNK_BYTES + 12
    run = federation.run(NODES, config={"bytes": size, "num-server-rounds": 2, "noise": True})
    noise = np.random.default_rng(0).standard_normal(size // 4, dtype=np.float32)
    np.testing.assert_allclose(model(run), noise + 2, atol=1e-6)
    traffic = run.read_card()["traffic"]
    # Down to each node: the first model, and one new one a round (evaluated in it, and trained from in the next).
    # Noise plus one has few exponents, so that some of it can be compressed.
    assert all(2.6 * size < one["to_node"] < 3.02 * size for one in traffic.values())
    # Up: both nodes answer with the same bytes, which are fetched once a round, from whichever named them first.
    assert 1.7 * size < sum(one["from_node"] for one in traffic.values()) < 2.02 * size


def test_a_model_that_can_be_compressed_is(federation: Federation) -> None:
    size = 5 * CHUNK_BYTES + 12
    run = federation.run(NODES, config={"bytes": size, "num-server-rounds": 1})
    np.testing.assert_array_equal(model(run), np.full(size // 4, 1.0, np.float32))
    assert all(one["to_node"] < size // 50 for one in run.read_card()["traffic"].values())


def test_a_medium_model_is_not_inlined_beyond_the_limit(federation: Federation) -> None:
    run = federation.run(NODES, config={"bytes": INLINE_ARRAY_BYTES + 4, "num-server-rounds": 1})
    assert model(run)[0] == 1.0


def test_audit_chains_of_both_sides_verify_and_hold_each_others_heads(federation: Federation) -> None:
    run = federation.run(NODES, config={"num-server-rounds": 1}, run_id="audited")
    heads = {one["name"]: one["decision"]["audit_head"] for one in run.read_card()["nodes"]}
    for name in NODES:
        path = federation.node_home(name).path / "audit.jsonl"
        assert verify(path).intact
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        decided = next(one for one in entries if one["event"] == "run decided" and one["details"]["run"] == "audited")
        assert (decided["n"], decided["hash"]) == (heads[name]["n"], heads[name]["hash"])
        assert decided["details"]["lab_head"]["n"] > 0
    gateway = federation.lab.path / "gateway" / "audit.jsonl"
    assert verify(gateway).intact
    assert AuditLog(gateway).head().n > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"datasets": (PermittedDataset(id="another"),)}, "does not name the dataset toy"),
        ({"datasets": (PermittedDataset(id="toy", version=2),)}, "names version 2"),
        ({"purpose": Purpose.CARE}, "not for e-ii"),
        ({"apps": ("0" * 64,)}, "restricted to named apps"),
        ({"not_before": datetime(2020, 1, 1, tzinfo=UTC), "expires": datetime(2020, 1, 2, tzinfo=UTC)}, "expired"),
        ({"not_before": datetime.now(UTC) + timedelta(minutes=30)}, "holds only from"),
    ],
    ids=["dataset", "version", "purpose", "app", "expired", "early"],
)
def test_a_node_refuses_what_the_permit_does_not_allow(
    federation: Federation, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunFailedError, match=said):
        federation.run(NODES, permit=federation.permit(**change))


def test_a_permit_that_the_lab_signed_itself_counts_for_nothing(federation: Federation) -> None:
    claims = read_claims_unverified(federation.permit())
    with pytest.raises(RunFailedError, match="key"):
        federation.run(NODES, permit=sign_permit(claims, generate_key()))


def test_a_purpose_that_the_node_does_not_serve_is_refused(federation: Federation) -> None:
    with pytest.raises(RunFailedError, match="does not serve the purpose"):
        federation.run(NODES, purpose="f")


def test_an_app_that_nobody_approved_does_not_run(federation: Federation, tmp_path: Path) -> None:
    from tests.support.federation import ECHO

    changed = tmp_path / "echo"
    for path in sorted(ECHO.rglob("*")):
        target = changed / path.relative_to(ECHO)
        if path.is_file() and "__pycache__" not in path.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(RunFailedError, match="is not approved on this node"):
        federation.run(NODES, app=changed)


def test_a_dataset_with_too_few_rows_is_not_trained_on(federation: Federation) -> None:
    federation.add_node("delft", rows=20)
    federation.wait_for("delft")
    with pytest.raises(RunFailedError, match="fewer rows"):
        federation.run(["delft"])


def test_a_node_that_is_not_connected_is_named(federation: Federation) -> None:
    home = federation.add_node("oslo")
    federation.wait_for("oslo")
    federation.processes["oslo"].terminate()
    federation.supervisor.forget(federation.processes["oslo"])
    home.withdraw("node")
    with pytest.raises(RunFailedError, match="oslo: The node did not answer in time") as refused:
        federation.run([NODES[0], "oslo"], timeout=3)
    assert refused.value.exit_code == ExitCode.FAILED


@pytest.mark.parametrize(
    ("nodes", "config", "said"),
    [
        (["amsterdm"], {}, "no node amsterdm. It has: amsterdam"),
        (NODES, {"rounds": 3}, "no setting rounds. It has: arrays, bytes, distinct, "),
        (NODES, {"num-server-rounds": "lots"}, "num-server-rounds is a int"),
    ],
    ids=["node", "setting", "type"],
)
def test_a_slip_is_said_before_anything_starts(
    federation: Federation, nodes: Sequence[str], config: dict[str, Any], said: str
) -> None:
    with pytest.raises(DatalabError, match=said):
        federation.run(nodes, config=config)


def test_an_exception_at_a_node_leaves_as_a_code_and_stays_as_a_trace(federation: Federation) -> None:
    with pytest.raises(RunFailedError) as failed:
        federation.run(NODES, app=HOSTILE, config={"attempt": "raise", "target": "Jane Doe"}, run_id="raising")
    assert "Every node answered with an error" in str(failed.value)
    card = (federation.lab.path / "runs" / "raising" / "run-card.json").read_text(encoding="utf-8")
    log = (federation.lab.path / "runs" / "raising" / "log" / "runner.log").read_text(encoding="utf-8")
    assert "Jane Doe" not in (str(failed.value) + log + card.replace('"target": "Jane Doe"', ""))
    assert '"outcome": "failed"' in card
    kept = federation.node_home(NODES[0]).log_file("run-raising").read_text(encoding="utf-8")
    assert "Jane Doe" in kept


def test_a_worker_that_dies_costs_its_task_and_not_the_node(federation: Federation) -> None:
    with pytest.raises(RunFailedError, match="Every node answered with an error"):
        federation.run(NODES, app=HOSTILE, config={"attempt": "exit"})
    assert federation.run(NODES, config={"num-server-rounds": 1}).read_card()["outcome"] == "completed"
