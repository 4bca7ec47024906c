"""What a run does when a part dies or a line is cut: it waits for so long, goes on, or ends with the reason."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from datalab.audit.verification import verify
from datalab.supervisor import Supervisor
from federation.errors import RunFailedError
from federation.run import ConfigValue
from tests.support.federation import Federation
from tests.support.proxy import Proxy
from tests.support.waiting import events

LARGE = 8 << 20


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Federation]:
    """A gateway and two nodes of this test's own, to be broken."""
    with Supervisor() as supervisor:
        federation = Federation(tmp_path, supervisor)
        for name in ("arnhem", "breda"):
            federation.add_node(name)
        federation.wait_for("arnhem", "breda")
        yield federation


def reconnect_through(federation: Federation, name: str, proxy: Proxy) -> None:
    """Have a node connect through ``proxy`` from now on."""
    federation.processes[name].terminate()
    federation.processes[name].wait()
    federation.supervisor.forget(federation.processes[name])
    (federation.node_home(name).path / "identity" / "gateway").write_text(f"127.0.0.1:{proxy.port}", encoding="ascii")
    federation.start_node(name)
    federation.wait_for(name)


def eventually(true: Any, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return bool(true())


def names(log: Path) -> list[str]:
    """Return the names of the events of an audit log."""
    return [str(one["event"]) for one in events(log)]


def workers(federation: Federation, name: str) -> int:
    return len(psutil.Process(federation.processes[name].pid).children(recursive=True))


def test_a_line_that_is_cut_in_a_transfer_costs_no_reply(
    two: Federation,
) -> None:
    gateway = two.lab.address("gateway")
    cuts: list[float] = []
    with Proxy(gateway["host"], gateway["port"], piece_delay=0.004) as proxy:
        reconnect_through(two, "breda", proxy)

        def cut(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            if event["event"] == "round" and event["number"] == 1:
                time.sleep(0.1)  # the second round's transfers are on their way
                cuts.append(time.monotonic())
                proxy.cut()

        events: list[dict[str, Any]] = []

        def watch(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            events.append(event)
            cut(runner, event)

        run = two.run(["arnhem", "breda"], config={"bytes": LARGE, "num-server-rounds": 4}, while_running=watch)
    assert cuts
    assert run.read_card()["outcome"] == "completed"
    batches = [event for event in events if event["event"] == "batch"]
    assert all(set(batch["nodes"]) == {"arnhem", "breda"} for batch in batches)
    assert all("loss" in node for batch in batches for node in batch["nodes"].values())
    assert [one["state"] for one in events if one["event"] == "node"] == ["away", "back"]


def test_a_line_that_is_lost_without_a_word_is_noticed_at_both_ends_and_the_node_rejoins(two: Federation) -> None:
    """Packets are dropped: both connections stand, and nobody is told."""
    gateway = two.lab.address("gateway")
    said: list[dict[str, Any]] = []
    severed: list[float] = []
    mended: list[float] = []
    with Proxy(gateway["host"], gateway["port"]) as proxy:
        reconnect_through(two, "breda", proxy)
        log = two.node_home("breda").log_file("node")

        def sever(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            said.append(event)
            if event["event"] == "round" and not severed:
                severed.append(time.time())
                proxy.sever()
            if event["event"] == "node" and event["state"] == "away":
                assert eventually(lambda: "Nothing was heard of the other end" in log.read_text(encoding="utf-8"), 5)
                mended.append(time.time())
                proxy.mend()

        run = two.run(["arnhem", "breda"], config={"num-server-rounds": 3}, while_running=sever)
    assert run.read_card()["outcome"] == "completed"
    away, back = (one for one in said if one["event"] == "node")
    assert (away["state"], back["state"]) == ("away", "back")
    assert away["time"] - severed[0] < 10, "5 seconds where the machine is not busy; gRPC itself takes a minute"
    assert mended
    batches = [one for one in said if one["event"] == "batch"]
    assert all(set(batch["nodes"]) == {"arnhem", "breda"} for batch in batches)


@pytest.mark.slow
def test_a_line_that_is_lost_without_a_word_under_a_large_transfer_is_noticed(two: Federation) -> None:
    """100 MB are on their way, over a line that lets 16 MB through in a second: both queues are full."""
    gateway = two.lab.address("gateway")
    said: list[dict[str, Any]] = []
    severed: list[float] = []
    with Proxy(gateway["host"], gateway["port"], piece_delay=0.004) as proxy:
        reconnect_through(two, "breda", proxy)
        before = proxy.bytes_passed

        def sever(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            said.append(event)
            if event["event"] == "nodes":
                assert eventually(lambda: proxy.bytes_passed - before > LARGE, seconds=60), "the model is on its way"
                severed.append(time.time())
                proxy.sever()
            if event["event"] == "node" and event["state"] == "away":
                proxy.mend()

        config: dict[str, ConfigValue] = {"bytes": 100_000_000, "num-server-rounds": 1, "noise": True}
        run = two.run(["arnhem", "breda"], config=config, grace=120.0, while_running=sever)
        passed = proxy.bytes_passed - before
    assert run.read_card()["outcome"] == "completed"
    away, back = (one for one in said if one["event"] == "node")
    assert (away["state"], back["state"]) == ("away", "back")
    assert away["time"] - severed[0] < 10, "5 seconds where the machine is not busy"
    print(f"noticed after {away['time'] - severed[0]:.2f} s; {passed / 1e6:.0f} MB passed")
    batches = [one for one in said if one["event"] == "batch"]
    assert all(set(batch["nodes"]) == {"arnhem", "breda"} for batch in batches)


def test_a_runner_whose_line_is_lost_without_a_word_notices_and_goes_on(two: Federation) -> None:
    """The gateway says that the runner is away, and soon that it is back; the run ends with what its rounds make."""
    gateway, log = two.lab.address("gateway"), two.lab.path / "gateway" / "audit.jsonl"
    severed: list[float] = []
    with Proxy(gateway["host"], gateway["port"]) as proxy:
        two.lab.announce("gateway", **{**gateway, "port": proxy.port})

        def sever(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
            if event["event"] == "round" and not severed:
                severed.append(time.time())
                proxy.sever()
                assert eventually(lambda: "runner away" in names(log), seconds=10), "5 where the machine is not busy"
                proxy.mend()

        config: dict[str, ConfigValue] = {"num-server-rounds": 4, "pause": 0.2}
        run = two.run(["arnhem", "breda"], config=config, proxy=proxy, while_running=sever)
    assert severed
    assert run.read_card()["outcome"] == "completed"
    assert names(log).count("runner away") == names(log).count("runner back") == 1
    assert float(np.load(run.artifacts / "model.npy").flat[0]) == 4.0


def test_a_node_that_does_not_come_back_is_lost_in_the_end_and_the_run_goes_on_without_it(two: Federation) -> None:
    said: list[dict[str, Any]] = []
    killed: list[float] = []

    def kill(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        said.append(event)
        if event["event"] == "batch" and not killed:
            two.processes["breda"].kill()
            killed.append(time.time())

    config: dict[str, ConfigValue] = {"num-server-rounds": 3, "fraction": 0.9, "pause": 0.3}
    run = two.run(["arnhem", "breda"], config=config, grace=2.0, while_running=kill)
    two.supervisor.forget(two.processes["breda"])
    assert run.read_card()["outcome"] == "completed"
    away, lost = (one for one in said if one["event"] == "node")
    assert (away["state"], lost["state"]) == ("away", "lost")
    assert away["time"] - killed[0] < 5
    last = [one for one in said if one["event"] == "batch"][-1]
    assert set(last["nodes"]) == {"arnhem"}, "one that is lost is not asked any more"


def test_an_app_that_waits_for_a_node_that_is_lost_ends_with_its_name(two: Federation) -> None:
    def kill(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "round" and event["number"] == 1:
            two.processes["breda"].kill()

    with pytest.raises(RunFailedError, match="waits for more nodes than there are: 1 of 2") as failed:
        two.run(["arnhem", "breda"], config={"num-server-rounds": 50}, grace=1.0, while_running=kill)
    assert "breda: The node was away for more than 1 seconds." in str(failed.value)
    two.supervisor.forget(two.processes["breda"])


def test_a_gateway_that_is_killed_ends_the_run_with_its_name(two: Federation) -> None:
    def kill(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "round" and event["number"] == 1:
            two.processes["gateway"].kill()

    with pytest.raises(RunFailedError, match="gateway"):
        two.run(["arnhem", "breda"], config={"num-server-rounds": 500}, grace=1.0, while_running=kill)
    two.supervisor.forget(two.processes["gateway"])


def test_a_runner_that_is_stopped_is_not_called_completed_and_leaves_no_worker(two: Federation) -> None:
    def stop(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "round" and event["number"] == 1:
            assert workers(two, "arnhem") > 0
            runner.send_signal(signal.SIGTERM)

    with pytest.raises(RunFailedError, match="stopped before its end"):
        two.run(["arnhem", "breda"], config={"num-server-rounds": 500}, run_id="stopped", while_running=stop)
    card = (two.lab.path / "runs" / "stopped" / "run-card.json").read_text(encoding="utf-8")
    assert '"outcome": "failed"' in card
    assert eventually(lambda: workers(two, "arnhem") == 0)


def test_a_runner_that_is_killed_outright_leaves_no_worker_either(two: Federation) -> None:
    def kill(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "round" and event["number"] == 1:
            runner.kill()

    with pytest.raises(RunFailedError, match="ended unexpectedly"):
        two.run(["arnhem", "breda"], config={"num-server-rounds": 500}, grace=1.0, while_running=kill)
    assert eventually(lambda: workers(two, "arnhem") == 0)
    for name in ("arnhem", "breda"):
        assert verify(two.node_home(name).path / "audit.jsonl").intact


def test_nodes_come_back_to_a_gateway_that_was_away_and_end_what_it_no_longer_knows(two: Federation) -> None:
    def kill(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "round" and event["number"] == 1:
            two.processes["gateway"].kill()

    ports = two.lab.address("gateway")
    with pytest.raises(RunFailedError):
        two.run(["arnhem", "breda"], config={"num-server-rounds": 500}, grace=1.0, while_running=kill)
    two.supervisor.forget(two.processes["gateway"])
    settings = f"[ports]\ngateway = {ports['port']}\nenrolment = {ports['enrolment_port']}\n"
    (two.lab.path / "datalab.toml").write_text(settings, encoding="utf-8")
    two.start_gateway()
    two.wait_for("arnhem", "breda")
    assert eventually(lambda: workers(two, "arnhem") == 0)
    assert two.run(["arnhem", "breda"], config={"num-server-rounds": 1}).read_card()["outcome"] == "completed"
