"""The runner's own identity: a run may outlive its runner's certificate, but not its revocation."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from federation.enrolment.client import enrol
from federation.errors import RunFailedError
from federation.node import control
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Role
from federation.pki.keys import Credentials
from federation.pki.local import invite, open_registry
from federation.run import ConfigValue
from federation.wire.protocol import RUN_CONDUCT
from tests.support.federation import Federation
from tests.support.proxy import Proxy
from tests.support.waiting import events, wait_until

LARGE = 8 << 20


def when(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["time"])


def of_run(log: Path, run: str, name: str) -> list[dict[str, Any]]:
    return [one for one in events(log) if one["event"] == name and one["details"].get("run") == run]


@pytest.mark.slow
@pytest.mark.parametrize("alone", [0.005], indirect=True)
def test_a_run_that_outlives_its_runners_certificate_loses_nothing(alone: Federation) -> None:
    """Certificates last 18 seconds; transfers that a slow line stretches beyond that go on all the time.

    The node at the slow line is cut off once after the first renewal, and comes back to the run that it knows.
    """
    home, gateway = alone.node_home("oslo"), alone.lab.address("gateway")
    control.stop(home)
    alone.supervisor.forget(alone.processes["oslo"])
    log = alone.lab.path / "gateway" / "audit.jsonl"
    cuts: list[dict[str, Any]] = []
    batches: list[dict[str, Any]] = []
    with Proxy(gateway["host"], gateway["port"], piece_delay=0.004) as proxy:
        (home.path / "identity" / "gateway").write_text(f"127.0.0.1:{proxy.port}", encoding="ascii")
        alone.start_node("oslo")
        alone.add_node("bergen")
        alone.wait_for("oslo", "bergen")

        def cut(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            if event["event"] == "batch":
                batches.append(event)
            if not cuts and of_run(log, "long", "runner renewed"):
                cuts.append(event)
                proxy.cut()

        config: dict[str, ConfigValue] = {"bytes": LARGE, "num-server-rounds": 26, "noise": True}
        run = alone.run(["oslo", "bergen"], config=config, run_id="long", while_running=cut)
    assert cuts
    assert all("loss" in node for node in batches[-1]["nodes"].values()), "the node was back in the end"
    model = np.load(run.artifacts / "model.npy")
    noise = np.random.default_rng(0).standard_normal(LARGE // 4, dtype=np.float32)
    np.testing.assert_allclose(model, noise + 26, atol=1e-4)
    renewals = [one["details"]["serial"] for one in of_run(log, "long", "runner renewed")]
    (opened,), (closed,) = of_run(log, "long", "run opened"), of_run(log, "long", "run closed")
    assert (when(closed) - when(opened)).total_seconds() > 18, "it did outlive the first certificate"
    assert closed["details"]["outcome"] == "completed"
    bergen = alone.node_home("bergen").path / "audit.jsonl"
    assert [one["details"]["runner"] for one in of_run(bergen, "long", "runner renewed")] == renewals
    decided = [one["details"] for one in of_run(log, "long", "node decided") if one["details"]["node"] == "oslo"]
    assert [one["decision"] for one in decided] == ["DECISION_CODE_ACCEPTED"] * 2
    assert len(of_run(home.path / "audit.jsonl", "long", "run decided")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("alone", [0.005], indirect=True)
def test_a_renewed_runner_that_is_revoked_is_known_to_the_node_by_its_new_certificate(alone: Federation) -> None:
    """Its first certificate is in no list any more once it has expired."""
    node = alone.node_home("oslo").path / "audit.jsonl"
    revoked: list[Role] = []

    def revoke(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] != "round" or len(of_run(node, "renewed", "runner renewed")) < 1 or revoked:
            return
        (member,) = (one for one in open_registry(alone.lab).members() if one.name == "renewed")
        if min(one.expires for one in member.certificates) > datetime.now(UTC):
            return
        revoked.append(open_registry(alone.lab).revoke(Role.RUNNER, "renewed").role)

    with pytest.raises(RunFailedError, match="was revoked"):
        alone.run(["oslo"], config={"num-server-rounds": 100_000}, run_id="renewed", while_running=revoke)
    wait_until(lambda: bool(of_run(node, "renewed", "run ended")), "the node had ended the run")
    (ended,) = of_run(node, "renewed", "run ended")
    assert ended["details"]["outcome"] == "runner revoked"


def seconds_to_end(federation: Federation, run: str) -> float:
    """Revoke the runner of a run in its midst; return how long it then took until its node had ended it."""
    node = federation.node_home("oslo").path / "audit.jsonl"
    agent = psutil.Process(federation.processes["oslo"].pid)
    revoked: list[datetime] = []

    def revoke(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "round" and not revoked:
            assert agent.children(recursive=True), "a worker is there"
            open_registry(federation.lab).revoke(Role.RUNNER, run)
            revoked.append(datetime.now(UTC))

    with pytest.raises(RunFailedError, match=f"runner/{run} was revoked"):
        federation.run(["oslo"], config={"num-server-rounds": 100_000}, run_id=run, while_running=revoke)
    wait_until(lambda: bool(of_run(node, run, "run ended")), "the node had ended the run")
    (ended,) = of_run(node, run, "run ended")
    assert ended["details"]["outcome"] == "runner revoked", (
        "the node did not wait for the gateway to say that it is over"
    )
    wait_until(lambda: not agent.children(recursive=True), "the worker was gone")
    return (when(ended) - revoked[0]).total_seconds()


def test_a_revoked_runner_is_cut_off_and_its_run_ended_at_the_node_within_a_second(alone: Federation) -> None:
    """Most of the time, as the machine may be at something else in between."""
    assert median(seconds_to_end(alone, run) for run in ("first", "second", "third")) < 1


def test_nobody_continues_a_run_that_is_not_theirs(alone: Federation, tmp_path: Path) -> None:
    gateway = alone.lab.address("gateway")
    tried: list[str] = []

    def intrude(run: str, name: str) -> str:
        if not (tmp_path / name).exists():
            enrol(invite(alone.lab, Role.RUNNER, name), tmp_path / name)
        own = Credentials.load(tmp_path / name)
        tls = grpc.ssl_channel_credentials(own.trust_pem, own.key_pem, own.chain_pem)
        with grpc.secure_channel(f"{gateway['host']}:{gateway['port']}", tls) as channel:
            call = channel.stream_stream(
                RUN_CONDUCT, pb.ConductRequest.SerializeToString, pb.ConductResponse.FromString
            )(iter([pb.ConductRequest(open=pb.RunOpen(run_id=run, continues=True))]), timeout=10)
            with pytest.raises(grpc.RpcError) as refused:
                next(call)
        return f"{refused.value.code().name}: {refused.value.details()}"

    def while_running(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "round" and event["number"] == 1:
            tried.extend([intrude("theirs", "mine"), intrude("mine", "mine")])

    run = alone.run(["oslo"], config={"num-server-rounds": 3}, run_id="theirs", while_running=while_running)
    assert run.read_card()["outcome"] == "completed"
    assert len(tried) == 2
    assert set(tried) == {"INVALID_ARGUMENT: This runner has no open run that it could continue."}
