"""Runs are copied to a tracking server as they go on: a real MLflow; nothing of one that is held."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from catalog import datasets, runs
from catalog.client import lab_client
from catalog.progress import Round
from catalog.records import AccountDraft, Announcement, Role
from catalog.release import releases
from catalog.release.records import ReleaseDecision
from catalog.release.transitions import ReleaseStep
from catalog.run_records import Artifact, DatasetVersion, RunDraft, RunPatch, RunRecord, RunState
from catalog.service import SERVICE
from catalog.store import Store
from catalog.tracking import tracker as tracking
from catalog.tracking.mlflow import Mlflow
from catalog.tracking.tracker import Tracker
from datalab.errors import NotFoundError
from datalab.home import Home
from datalab.settings import Tracking
from datalab.storage.store import ObjectStore, connect
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import home_beside
from tests.support.federation import ROOT
from tests.support.waiting import wait_until
from tests.unit.catalog.examples import SHA, account, at_site, report

PROGRAM = ROOT / ".peers" / "bin" / "mlflow"
WITH_MLFLOW = pytest.mark.skipif(not PROGRAM.exists(), reason="needs `make peers`")
STARTING = 240.0
ROSA = AccountDraft(name="rosa", role=Role.RESEARCHER, organisation="start-up")
ANTON = AccountDraft(name="anton", role=Role.ACCESS_BODY, organisation="hdab")
RUNNER = account(Role.RUNNER)
CARD = {"app": {"config": {"learning-rate": 0.1, "odd key?": "x" * 9000}}, "seed": 7}
ROUNDS = (
    Round(number=1, seconds=0.5, loss=0.7, bytes_down=10, bytes_up=20, metrics={"auc": 0.61, "odd": float("nan")}),
    Round(number=2, seconds=0.5, loss=0.6, bytes_down=30, bytes_up=40, metrics={"auc": 0.72}),
)


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server that answers everything with an error, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
            self.send_error(503)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *said: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def ended_run(store: Store, objects: ObjectStore, name: str, *, release: bool) -> None:
    """Have a run on a dataset of its own come to its end, with a model and its card."""
    going_run(store, name, release=release)
    left = []
    for file in ("weights/model.npy", "log.txt", "run-card.json"):
        put = objects.put_bytes(f"runs/run-{name}/{file}", f"{file} of {name}".encode() * 5000)
        left.append(Artifact(name=file, uri=objects.uri(put.key), sha256=SHA, bytes=put.bytes))
    done = RunPatch(state=RunState.FINISHED, card=CARD, artifacts=tuple(left))
    runs.update(store, f"run-{name}", done, revision=2, account=RUNNER)


def going_run(store: Store, name: str, *, release: bool) -> None:
    """Have a run on a dataset of its own begin."""
    datasets.register(store, at_site(id=name, release=release), account())
    said = Announcement(node="rotterdam", version=1, report=report())
    datasets.announce(store, name, said, account(Role.GATEWAY))
    draft = RunDraft(
        id=f"run-{name}",
        app_digest=SHA,
        datasets=(DatasetVersion(dataset=name, version=1),),
        nodes=("rotterdam",),
    )
    runs.create(store, draft, ROSA)
    runs.update(store, draft.id, RunPatch(state=RunState.RUNNING), revision=1, account=RUNNER)


def release(store: Store, name: str, *files: str) -> None:
    """Have whoever decides release some files of a run."""
    releases.ask(store, f"run-{name}", "for our paper", (), {}, ROSA)
    revision = store.get(RunRecord, "runs", f"run-{name}").revision
    decision = ReleaseDecision(step=ReleaseStep.RELEASE, text="small", files=files, revision=revision)
    releases.decide(store, f"run-{name}", decision, ANTON)


def tracker_of(store: Store, objects: ObjectStore, address: str) -> Tracker:
    return Tracker(store, objects, address, "user:secret-word", lambda _: ROUNDS)


def test_nothing_of_a_held_run_is_sent_and_a_server_that_fails_holds_nothing_up(
    tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "FIRST_WAIT", timedelta(0))
    store = Store(tmp_path / "records.duckdb")
    ended_run(store, object_store, "earlier", release=False)
    with listening() as (address, asked):
        one = tracker_of(store, object_store, address)
        one.copy()
        ended_run(store, object_store, "held", release=True)
        one.copy()
        assert asked == []  # what ended before tracking began is not sent, and what is held neither
        release(store, "held", "log.txt")
        one.copy()
        one.copy()
    login = base64.b64encode(b"user:secret-word").decode()
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=datalab%2Fstart-up"
    assert asked == [f"GET {path} Basic {login}"] * 2
    one.copy()  # nobody listens there any more
    assert store.find_events(action="run.tracked", limit=10) == []
    (begun,) = store.find_events(action="tracking.begun", limit=10)
    assert begun.details == {"address": address}
    store.close()


def test_of_runs_that_go_on_a_held_one_is_not_sent(tmp_path: Path, object_store: ObjectStore) -> None:
    store = Store(tmp_path / "records.duckdb")
    with listening() as (address, asked):
        one = tracker_of(store, object_store, address)
        one.copy()
        going_run(store, "held", release=True)
        one.copy()
        assert asked == []
        going_run(store, "open", release=False)
        one.copy()
        assert len(asked) == 1
    assert store.find_events(action="run.tracking", limit=10) == []  # nothing has arrived there
    store.close()


def test_what_failed_is_tried_again_later_and_later(tmp_path: Path, object_store: ObjectStore) -> None:
    store = Store(tmp_path / "records.duckdb")
    with listening() as (address, asked):
        one = tracker_of(store, object_store, address)
        one.copy()
        ended_run(store, object_store, "open", release=False)
        for _ in range(3):
            one.copy()
        assert len(asked) == 1
    store.close()


def test_credentials_come_from_a_file_and_addresses_are_safe(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert tracking.credentials(home) is None
    (home.folder("secrets") / "mlflow").write_text("user:word\n")
    assert tracking.credentials(home) == "user:word"
    (home.folder("secrets") / "mlflow").write_text("\n")
    with pytest.raises(NotFoundError, match="empty"):
        tracking.credentials(home)
    assert Tracking().mlflow is None
    for bad in ("http://mlflow.example.org", "https://user:word@mlflow.example.org", "file:///etc", "https://a/?q"):
        with pytest.raises(ValidationError):
            Tracking(mlflow=bad)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on loopback, over SQLite and a folder."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(PROGRAM), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/records.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **quiet}, cwd=folder, stdout=log, stderr=log, process_group=0
        )
        try:
            deadline = time.monotonic() + STARTING
            while not _answers(port):
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, "MLflow has not started"
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # its workers too
            server.wait(30)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").text == "OK"
    except httpx.HTTPError:
        return False


def found(address: str, organisation: str, run: str) -> dict[str, Any]:
    """Return a run as MLflow's own API shows it."""
    with Mlflow(address, None) as server:
        (one,) = server.find(server.experiment(f"datalab/{organisation}"), "datalab.run", run)
    said: dict[str, Any] = httpx.get(f"{address}/api/2.0/mlflow/runs/get", params={"run_id": one.id}).json()["run"]
    files = httpx.get(f"{address}/api/2.0/mlflow/artifacts/list", params={"run_id": one.id, "path": ""}).json()
    return {**said, "files": [file["path"] for file in files.get("files", ())]}


def status(address: str) -> str:
    """Return how MLflow says that the one run stands; "" if there is none."""
    with Mlflow(address, None) as server:
        return "".join(one.status for one in server.find(server.experiment("datalab/lab"), "datalab.run", "run-real"))


def history(address: str, run_id: str, key: str) -> list[tuple[int, float]]:
    """Return the points of a metric, as MLflow's own API shows them."""
    asked = {"run_id": run_id, "metric_key": key}
    said = httpx.get(f"{address}/api/2.0/mlflow/metrics/get-history", params=asked).json()
    return [(point["step"], point["value"]) for point in said.get("metrics", ())]


def pairs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: one["value"] for one in entries}


@pytest.mark.slow
@WITH_MLFLOW
@pytest.mark.timeout(600)
def test_a_run_is_copied_once_and_only_what_was_released(
    mlflow: str, tmp_path: Path, object_store: ObjectStore
) -> None:
    store = Store(tmp_path / "records.duckdb")
    one = tracker_of(store, object_store, mlflow)
    one.copy()
    ended_run(store, object_store, "open", release=False)
    ended_run(store, object_store, "held", release=True)
    with Mlflow(mlflow, None) as server:  # a copy that failed half-way
        half = server.create(server.experiment("datalab/start-up"), "run-open", 0, {"datalab.run": "run-open"})
    one.copy()
    whole = found(mlflow, "start-up", "run-open")
    assert (whole["info"]["status"], whole["info"]["run_name"]) == ("FINISHED", "run-open")
    assert whole["info"]["run_id"] != half.id
    assert pairs(whole["data"]["params"])["learning-rate"] == "0.1"
    assert pairs(whole["data"]["params"])["seed"] == "7"
    assert pairs(whole["data"]["metrics"]) == {
        "loss": 0.6,
        "auc": 0.72,
        "seconds": 0.5,
        "bytes_down": 30,
        "bytes_up": 40,
    }
    tags = pairs(whole["data"]["tags"])
    assert (tags["datalab.app_sha256"], tags["datalab.datasets"]) == (SHA, "open v1")
    assert "rosa" not in json.dumps(whole)
    assert history(mlflow, whole["info"]["run_id"], "loss") == [(1, 0.7), (2, 0.6)]
    assert whole["files"] == ["log.txt", "weights"]  # and no card, which names people
    stored = httpx.get(
        f"{mlflow}/api/2.0/mlflow-artifacts/artifacts/{whole['info']['artifact_uri'].removeprefix('mlflow-artifacts:/')}"
        "/weights/model.npy"
    )
    assert stored.content == b"weights/model.npy of open" * 5000
    with Mlflow(mlflow, None) as server:
        assert server.find(server.experiment("datalab/start-up"), "datalab.run", "run-held") == []

    release(store, "held", "log.txt")  # not its card, so that its metrics stay as well
    one.copy()
    part = found(mlflow, "start-up", "run-held")
    assert (part["files"], part["data"].get("metrics", []), part["data"].get("params", [])) == (["log.txt"], [], [])
    tracker_of(store, object_store, mlflow).copy()  # started again: nothing is copied twice
    events = store.find_events(action="run.tracked", limit=10)
    assert [(event.subject, event.details["metrics"], sorted(event.details["files"])) for event in events] == [
        ("run/run-held", False, ["log.txt"]),
        ("run/run-open", True, ["log.txt", "weights/model.npy"]),
    ]
    found(mlflow, "start-up", "run-open")
    store.close()


@pytest.mark.slow
@WITH_MLFLOW
@pytest.mark.timeout(600)
def test_a_run_that_goes_on_gets_each_round_once_and_one_that_is_held_nothing(
    mlflow: str, tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "FIRST_WAIT", timedelta(0))
    store = Store(tmp_path / "records.duckdb")
    came = list(ROUNDS[:1])

    def follower() -> Tracker:
        return Tracker(store, object_store, mlflow, None, lambda _: came)

    one = follower()
    one.copy()
    for name, held in (("going", False), ("going-held", True)):
        going_run(store, name, release=held)
    one.copy()
    begun = found(mlflow, "start-up", "run-going")
    assert (begun["info"]["status"], begun["data"].get("metrics", [])) == ("RUNNING", [])
    came.append(ROUNDS[1])
    one.copy()
    one.copy()
    assert history(mlflow, begun["info"]["run_id"], "loss") == [(1, 0.7)]
    one = follower()  # the lab is started again
    came.append(ROUNDS[1].model_copy(update={"number": 3, "loss": 0.5}))
    one.copy()
    again = found(mlflow, "start-up", "run-going")
    assert history(mlflow, again["info"]["run_id"], "loss") == [(1, 0.7), (2, 0.6)]
    for name in ("going", "going-held"):
        runs.update(store, f"run-{name}", RunPatch(state=RunState.FINISHED, card=CARD), revision=2, account=RUNNER)
    one.copy()
    whole = found(mlflow, "start-up", "run-going")
    assert (whole["info"]["run_id"], whole["info"]["status"]) == (again["info"]["run_id"], "FINISHED")
    assert history(mlflow, whole["info"]["run_id"], "loss") == [(1, 0.7), (2, 0.6), (3, 0.5)]
    with Mlflow(mlflow, None) as server:
        assert server.find(server.experiment("datalab/start-up"), "datalab.run", "run-going-held") == []
    followed = store.find_events(action="run.tracking", limit=10)
    assert {event.subject for event in followed} == {"run/run-going"}
    store.close()


@pytest.mark.slow
@WITH_MLFLOW
@pytest.mark.timeout(600)
def test_a_lab_copies_what_ends_by_itself(mlflow: str, lab_home: Home, tmp_path: Path) -> None:
    lab = home_beside(lab_home, tmp_path)
    (tmp_path / "datalab.toml").write_text(f'[ports]\nlab = 0\n[tracking]\nmlflow = "{mlflow}"\nevery = 0.3\n')
    with Supervisor() as supervisor:
        supervisor.start(SERVICE.name, SERVICE.module, lab)
        with lab_client(lab, "operator") as client:
            client.register_dataset(at_site())
        with lab_client(lab, "gateway") as client:
            client.announce("gbsg", Announcement(node="rotterdam", version=1, report=report()))
        stored = connect(lab, "runner").put_bytes("runs/run-real/model.bin", b"weights")
        batch = {
            "event": "batch",
            "time": 1.0,
            "type": "train",
            "round": "1",
            "seconds": 0.2,
            "bytes_down": 1,
            "bytes_up": 2,
        }
        line = json.dumps({**batch, "nodes": {"rotterdam": {"app_seconds": 0.1, "loss": 0.5, "num-examples": 9}}})
        events = lab.folder("runs", "run-real") / "events.jsonl"
        events.write_text(f"{line}\n")
        with lab_client(lab, "runner") as client:
            trained = DatasetVersion(dataset="gbsg", version=1)
            run = client.create_run(RunDraft(id="run-real", app_digest=SHA, datasets=(trained,), nodes=("rotterdam",)))
            run = client.update_run(run.id, RunPatch(state=RunState.RUNNING), revision=run.revision)
            wait_until(lambda: status(mlflow) == "RUNNING", "the run is there as it begins")
            assert found(mlflow, "lab", "run-real")["data"].get("metrics", []) == []  # its first round goes on
            with events.open("a") as file:
                file.write(line.replace('"round": "1"', '"round": "2"').replace("0.5", "0.4") + "\n")
            wait_until(lambda: found(mlflow, "lab", "run-real")["data"].get("metrics"), "its first round is there")
            assert pairs(found(mlflow, "lab", "run-real")["data"]["metrics"])["loss"] == 0.5
            left = (Artifact(name="model.bin", uri=stored.uri, sha256=SHA, bytes=7),)
            card = {"app": {"config": {"rounds": 1}}, "seed": 0}
            done = RunPatch(state=RunState.FINISHED, card=card, artifacts=left)
            client.update_run(run.id, done, revision=run.revision)
        with lab_client(lab, "operator") as client:
            wait_until(lambda: any(one.action == "run.tracked" for one in client.events()), "the run is copied")
        whole = found(mlflow, "lab", "run-real")
    assert pairs(whole["data"]["metrics"])["loss"] == 0.4
    assert (whole["info"]["status"], whole["files"]) == ("FINISHED", ["model.bin"])
