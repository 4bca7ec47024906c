"""A lab that loses a run's folder, or its machine, goes on with the run from object storage."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from catalog.client import LabClient
from catalog.run_records import RunRecord, RunState
from datalab.errors import NotFoundError
from datalab.home import Home
from datalab.service import free_ports
from datalab.storage import store
from datalab.storage.service import SERVICE as OBJECT_STORE
from datalab.storage.store import ObjectStore
from datalab.supervisor import Supervisor
from federation.run import RunFolder
from federation.scheduler.service import SERVICE as SCHEDULER
from federation.shipped import Head, head_key, length
from tests.integration.runs.conftest import NODE, Lab, lab_with_rosa, start_services
from tests.integration.runs.test_queue import watch
from tests.support.waiting import events, wait_until

ROUNDS = 30
PORTS = {"gateway": "port", "enrolment": "enrolment_port"}
CONFIG = {"remember": True, "pause": 0.1, "bytes": 200_000, "noise": True}
"""The app keeps a state at its node: what is done twice, or forgotten, changes the parameters."""


@dataclass
class Storage:
    """An object store that can be killed; it comes back at the same port."""

    home: Home
    supervisor: Supervisor
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = self.supervisor.start(OBJECT_STORE.name, OBJECT_STORE.module, self.home)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.supervisor.forget(self.process)

    def objects(self) -> ObjectStore:
        return store.connect(self.home)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    home = Home(tmp_path_factory.mktemp("storage"))
    (home.path / "datalab.toml").write_text(f"[ports]\nobject_store = {free_ports('127.0.0.1', 1)[0]}\n")
    with Supervisor() as supervisor:
        storage = Storage(home, supervisor)
        storage.start()
        yield storage


@pytest.fixture(scope="module")
def lab(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of its own, for its scheduler is killed."""
    with lab_with_rosa(storage.home, tmp_path_factory.mktemp("lost")) as lab:
        yield lab


@pytest.fixture(scope="module")
def undisturbed(lab: Lab) -> str:
    """The digest of the parameters of a run that is left alone."""
    run = lab.rosa.submit_run(lab.launch(rounds=ROUNDS, parameters={**CONFIG, "pause": 0.0}))
    return model(lab.rosa, run)


def model(rosa: LabClient, run: RunRecord) -> str:
    done = watch(rosa, run.id)
    assert (done.state, done.reason) == (RunState.FINISHED, None)
    assert [one.number for one in done.rounds] == list(range(1, ROUNDS + 1))
    return next(one.sha256 for one in rosa.run(run.id).artifacts if one.name == "model.npy")


def shipped(folder: RunFolder) -> int:
    """Return how many bytes of a run's journal are stored."""
    if not folder.shipped.exists():
        return 0
    return length(Head.model_validate_json(folder.shipped.read_bytes()).journal)


def rounds(folder: RunFolder) -> list[dict[str, Any]]:
    return [one for one in events(folder.events) if one["event"] == "round"]


def kill(lab: Lab, run: str, *services: str) -> None:
    """Kill the scheduler, and with it the runner of a run, and other services."""
    pid = Home(lab.home.path / "runs" / run).address("runner")["pid"]
    for service in ("scheduler", *services):
        process = lab.federation.processes.pop(service)
        process.kill()
        lab.federation.supervisor.forget(process)
    wait_until(lambda: not psutil.pid_exists(pid), "the runner has ended, too")


def lose(lab: Lab, run: str) -> None:
    """Kill the scheduler, and its runners with it, and remove a run's folder."""
    kill(lab, run)
    shutil.rmtree(lab.home.path / "runs" / run)


def start_scheduler(lab: Lab) -> None:
    lab.federation.processes["scheduler"] = lab.federation.supervisor.start(SCHEDULER.name, SCHEDULER.module, lab.home)


def said_of(lab: Lab, run: str, event: str) -> Counter[str]:
    """Count the tasks of a run that the node's audit log names in an event."""
    log = lab.federation.node_home(NODE).path / "audit.jsonl"
    return Counter(
        one["details"]["task"] for one in events(log) if one["event"] == event and one["details"]["run"] == run
    )


@pytest.mark.parametrize("stored", ["a part of the journal", pytest.param("nothing", marks=pytest.mark.slow)])
def test_a_run_whose_folder_is_lost_ends_as_if_nothing_had_happened(
    lab: Lab, storage: Storage, undisturbed: str, stored: str
) -> None:
    """What was not stored yet was done at the node, which says it again and does nothing twice."""
    run = lab.rosa.submit_run(lab.launch(rounds=ROUNDS, parameters=CONFIG))
    folder = RunFolder(lab.home.path / "runs" / run.id)
    wait_until(lambda: shipped(folder) > 0, "a part of the journal is stored")
    storage.kill()
    wait_until(lambda: b'"state": "behind"' in folder.events.read_bytes(), "the run says that its journal is not")
    known = len(rounds(folder))
    wait_until(lambda: len(rounds(folder)) > known, "the run goes on all the same")
    lose(lab, run.id)
    storage.start()
    if stored == "nothing":
        storage.objects().erase(f"journals/{run.id}/")
    start_scheduler(lab)
    assert model(lab.rosa, run) == undisturbed
    assert set(said_of(lab, run.id, "task done").values()) == {1}
    assert said_of(lab, run.id, "reply sent again")
    assert [one["number"] for one in rounds(folder)] == list(range(1, ROUNDS + 1))
    wait_until(lambda: not folder.unfinished, "its end is on record")
    assert not folder.shipped.exists()
    with pytest.raises(NotFoundError):
        storage.objects().stat(head_key(run.id))


@pytest.mark.slow
def test_a_journal_that_was_tampered_with_ends_the_run_with_that(lab: Lab, storage: Storage) -> None:
    run = lab.rosa.submit_run(lab.launch(rounds=100_000))
    folder = RunFolder(lab.home.path / "runs" / run.id)
    wait_until(lambda: shipped(folder) > 0, "a part of the journal is stored")
    lose(lab, run.id)
    objects = storage.objects()
    for one in list(objects.list(f"journals/{run.id}/")):
        if one.key != head_key(run.id):
            objects.put_bytes(one.key, b"".join(objects.read(one.key))[:-1])
    start_scheduler(lab)
    done = watch(lab.rosa, run.id)
    assert done.state is RunState.FAILED
    assert "not what was shipped: a part of it was changed or cut off" in (done.reason or "")


@pytest.mark.slow
def test_a_run_goes_on_where_the_lab_is_elsewhere(storage: Storage, undisturbed: str, tmp_path: Path) -> None:
    """All of the lab is killed, and started again from a copy of its home that has no runs."""
    with lab_with_rosa(storage.home, tmp_path / "here") as lab:
        run = lab.rosa.submit_run(lab.launch(rounds=ROUNDS, parameters=CONFIG))
        wait_until(lambda: shipped(RunFolder(lab.home.path / "runs" / run.id)) > 0, "a part of the journal is stored")
        ports = {name: int(lab.home.address("gateway")[key]) for name, key in PORTS.items()}
        ports["lab"] = int(lab.home.address("lab")["url"].rpartition(":")[2])
        kill(lab, run.id, "gateway", "lab")
        elsewhere = tmp_path / "elsewhere"
        shutil.copytree(lab.home.path, elsewhere, ignore=shutil.ignore_patterns("runs"))
        lab.home.path.rename(tmp_path / "gone")
        said = "".join(f"{name} = {port}\n" for name, port in ports.items())
        (elsewhere / "datalab.toml").write_text(f"[ports]\n{said}")
        lab.federation.lab = Home(elsewhere)
        start_services(lab.federation)
        assert model(lab.rosa, run) == undisturbed
        assert set(said_of(lab, run.id, "task done").values()) == {1}
