"""A run goes on where it was, whatever has died; the whole system under faults is ``tests.chaos``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from datalab.home import Home
from datalab.supervisor import Supervisor
from federation import client
from federation.errors import RunFailedError
from federation.run import ConfigValue, RunFolder, RunPlace
from tests.support.federation import DATASET, ECHO, Federation
from tests.support.waiting import events, wait_until

NODES = ["delft", "emmen"]
CONFIG: dict[str, ConfigValue] = {
    "num-server-rounds": 4,
    "remember": True,
    "pause": 0.05,
    "bytes": 400_000,
    "noise": True,
}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A gateway and two nodes; apps that remember show what is done twice, or forgotten."""
    with Supervisor() as supervisor:
        running = Federation(tmp_path_factory.mktemp("resume"), supervisor)
        for name in NODES:
            running.add_node(name, policy="maximum_runs_a_day = 20")
        running.wait_for(*NODES)
        yield running


@pytest.fixture(scope="module")
def undisturbed(federation: Federation) -> bytes:
    """The parameters of a run that is left alone."""
    return parameters(conduct(federation, "undisturbed", lambda *_: None))


def submit(federation: Federation, run_id: str, **changes: ConfigValue) -> RunFolder:
    places = [RunPlace(node=name, dataset=DATASET) for name in NODES]
    config = {**CONFIG, **changes}
    return client.submit(
        federation.lab,
        ECHO,
        run_id=run_id,
        places=places,
        permit=federation.permit(),
        purpose="e-ii",
        config=config,
        record=False,
    )


def conduct(
    federation: Federation, run_id: str, act: Callable[[RunFolder, dict[str, Any]], None], **changes: ConfigValue
) -> RunFolder:
    """Conduct a run, and have ``act`` do something after its second batch."""
    run, batches = submit(federation, run_id, **changes), 0
    with Supervisor() as supervisor:
        for event in client.conduct(run, supervisor):
            batches += event["event"] == "batch"
            if event["event"] == "batch" and batches == 2:
                act(run, event)
    return run


def kill_runner(run: RunFolder, _: dict[str, Any]) -> None:
    os.kill(json.loads((run.path / "run" / "runner.json").read_bytes())["pid"], signal.SIGKILL)


def parameters(run: RunFolder) -> bytes:
    assert run.read_card()["outcome"] == "completed"
    return (run.artifacts / "model.npy").read_bytes()


def done(federation: Federation, run_id: str) -> Counter[tuple[str, str]]:
    """Count how often each node has carried out each task of a run."""
    return Counter(
        (name, one["details"]["task"])
        for name in NODES
        for one in events(federation.node_home(name).path / "audit.jsonl")
        if one["event"] == "task done" and one["details"]["run"] == run_id
    )


def test_a_runner_that_is_killed_is_started_again_and_nothing_is_done_twice(
    federation: Federation, undisturbed: bytes
) -> None:
    run = conduct(federation, "killed", kill_runner)
    assert parameters(run) == undisturbed
    said = events(run.events)
    assert [one["number"] for one in said if one["event"] == "round"] == [1, 2, 3, 4]
    assert [one["number"] for one in run.read_card()["rounds"]] == [1, 2, 3, 4]
    assert sum(one["event"] == "resumed" for one in said) == 1
    assert set(done(federation, "killed").values()) == {1}
    assert not run.unfinished
    assert not run.journal.exists()
    assert not run.buffers.exists()


def test_a_node_that_is_killed_goes_on_with_what_it_has_recorded_and_is_charged_once(
    federation: Federation, undisturbed: bytes
) -> None:
    def kill(_: RunFolder, __: dict[str, Any]) -> None:
        federation.processes["emmen"].kill()
        federation.supervisor.forget(federation.processes["emmen"])
        federation.start_node("emmen")

    assert parameters(conduct(federation, "node-killed", kill)) == undisturbed
    ledger = events(federation.node_home("emmen").path / "ledger.jsonl")
    assert sum(one["event"] == "run admitted" and one["details"]["run"] == "node-killed" for one in ledger) == 1
    assert set(done(federation, "node-killed").values()) == {1}
    assert not (federation.node_home("emmen").path / "runs" / "node-killed").exists()


def test_a_worker_that_is_killed_is_started_again_with_its_state(federation: Federation, undisturbed: bytes) -> None:
    def kill(_: RunFolder, __: dict[str, Any]) -> None:
        for worker in psutil.Process(federation.processes["delft"].pid).children():
            worker.kill()

    assert parameters(conduct(federation, "worker-killed", kill)) == undisturbed


def test_an_app_that_does_something_else_the_second_time_ends_with_that(federation: Federation) -> None:
    with pytest.raises(RunFailedError, match="not replayable: message 1 is another") as failed:
        conduct(federation, "fickle", kill_runner, fickle=True)
    assert "Start another run" in str(failed.value)


def test_a_run_that_nobody_conducts_is_taken_up_by_the_lab(federation: Federation, undisturbed: bytes) -> None:
    """Its starter is killed: the runner ends with it, and the run is not called failed for that."""
    run = submit(federation, "left-alone")
    script = (
        "from pathlib import Path; from datalab.supervisor import Supervisor; from federation import client\n"
        "from federation.run import RunFolder\n"
        f"for event in client.conduct(RunFolder(Path({str(run.path)!r})), Supervisor()): pass"
    )
    starter = subprocess.Popen([sys.executable, "-c", script])
    wait_until(lambda: run.events.exists() and b'"batch"' in run.events.read_bytes(), "the run was in its first round")
    starter.kill()
    starter.wait()
    assert not run.card.exists()
    with Supervisor() as supervisor:
        supervisor.start("scheduler", "federation.scheduler.service", Home(federation.lab.path))
        wait_until(lambda: run.card.exists() and not run.unfinished, "the run was taken up and ended")
    assert parameters(run) == undisturbed
    assert client.interrupted(federation.lab) == []


def test_a_run_whose_runner_dies_again_and_again_is_given_up(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: RunFolder, __: Supervisor) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import os; os.abort()"])

    monkeypatch.setattr(client, "MAX_RESTARTS", 1)
    monkeypatch.setattr(client, "start", start)
    run = submit(federation, "hopeless")
    with Supervisor() as supervisor, pytest.raises(RunFailedError):
        for _ in client.conduct(run, supervisor):
            pass
    card = run.read_card()
    assert (card["outcome"], "ended 2 times" in card["reason"]) == ("failed", True)
    assert not run.unfinished
