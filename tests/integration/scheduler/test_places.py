"""One suite for every kind of place where runners run: they run, are started again, are stopped, and leave no job."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.errors import DatalabError, NotFoundError
from datalab.home import Home
from datalab.settings import Kubernetes, Slurm
from datalab.supervisor import Supervisor
from federation import client
from federation.run import RunFolder, RunPlace
from federation.scheduler.executor import PlacedExecutor
from federation.scheduler.kubernetes import KubernetesPlace
from federation.scheduler.places import LocalPlace
from federation.scheduler.slurm import SlurmPlace, job_script
from tests.support.federation import DATASET, ECHO, Federation
from tests.support.kubernetes import kubernetes_cluster
from tests.support.slurm import slurm_cluster, slurm_is_there
from tests.support.waiting import wait_until

NODE = "amsterdam"
IMAGE = f"registry.example.org/datalab@sha256:{'ab' * 32}"
WITH_KUBECTL = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
WITH_SLURM = pytest.mark.skipif(not slurm_is_there(), reason="needs root, and slurmctld, slurmd, slurm-client, munge")


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Supervisor() as supervisor:
        running = Federation(tmp_path_factory.mktemp("places"), supervisor)
        running.add_node(NODE)
        running.wait_for(NODE)
        yield running


@pytest.fixture(
    params=["local", pytest.param("slurm", marks=WITH_SLURM), pytest.param("kubernetes", marks=WITH_KUBECTL)],
    scope="module",
)
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlacedExecutor]:
    """An executor over each kind of place."""
    if request.param == "local":
        with Supervisor() as supervisor:
            yield PlacedExecutor(LocalPlace(supervisor))
        return
    if request.param == "kubernetes":
        with kubernetes_cluster(tmp_path_factory.mktemp("kubernetes")) as cluster:
            settings = Kubernetes(image=IMAGE, claim="home", user=65532, kubeconfig=cluster.kubeconfig)
            yield PlacedExecutor(KubernetesPlace(settings))
            assert cluster.jobs == {}
            assert len(cluster.policies) == 1
        return
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as environment, pytest.MonkeyPatch.context() as patch:
        for name in ("PATH", "SLURM_CONF"):
            patch.setenv(name, environment[name])
        yield PlacedExecutor(SlurmPlace(Slurm(partition="main")))
        left = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout
        assert left == ""


def laid_out(federation: Federation, rounds: int) -> RunFolder:
    places = [RunPlace(node=NODE, dataset=DATASET)]
    asked = {"places": places, "permit": federation.permit(), "purpose": "e-ii", "record": False}
    return client.submit(federation.lab, ECHO, config={"num-server-rounds": rounds}, **asked)  # type: ignore[arg-type]


def reaped(executor: PlacedExecutor, run: str) -> DatalabError | None:
    """Look after an executor until a run has ended, and return with what."""
    ended: dict[str, DatalabError | None] = {}

    def over() -> bool:
        ended.update(executor.reap())
        return run in ended

    wait_until(over, "the run has ended")
    assert run not in executor.known()
    return ended[run]


def process_of(folder: RunFolder) -> int:
    """Return the runner's process, once it has begun with its rounds."""

    def trains() -> bool:
        return folder.events.exists() and b'"event": "round"' in folder.events.read_bytes()

    wait_until(trains, "a round has ended")
    return int(Home(folder.path).address("runner")["pid"])


@pytest.mark.slow
def test_a_run_runs_to_its_end(federation: Federation, executor: PlacedExecutor) -> None:
    folder = laid_out(federation, 2)
    executor.start(folder)
    assert executor.known() == [folder.path.name]
    assert reaped(executor, folder.path.name) is None
    assert folder.read_card()["outcome"] == "completed"


@pytest.mark.slow
def test_a_runner_that_is_killed_is_started_again_and_goes_on(federation: Federation, executor: PlacedExecutor) -> None:
    folder = laid_out(federation, 150)
    executor.start(folder)
    os.kill(process_of(folder), signal.SIGKILL)
    assert reaped(executor, folder.path.name) is None
    assert len(folder.read_card()["rounds"]) == 150
    assert folder.events.read_bytes().count(b'"event": "resumed"') == 1


@pytest.mark.slow
def test_a_run_that_is_stopped_ends_and_says_so(federation: Federation, executor: PlacedExecutor) -> None:
    folder = laid_out(federation, 100_000)
    executor.start(folder)
    process = process_of(folder)
    executor.stop(folder.path.name)
    told = time.monotonic()
    reaped(executor, folder.path.name)
    assert time.monotonic() - told < 15
    assert "stopped before its end" in folder.read_card()["reason"]
    with pytest.raises((ProcessLookupError, NotFoundError)):
        os.kill(process, 0)


@pytest.mark.slow
def test_a_runner_that_does_not_heed_is_ended_by_force(
    federation: Federation, executor: PlacedExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = laid_out(federation, 100_000)
    executor.start(folder)
    process = process_of(folder)
    os.kill(process, signal.SIGSTOP)
    executor.stop(folder.path.name)
    monkeypatch.setattr("federation.scheduler.executor.GRACE", 0.0)
    executor.stop(folder.path.name)
    reaped(executor, folder.path.name)
    assert "stopped before its end" in folder.read_card()["reason"]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.slow
def test_an_app_that_fails_ends_its_run_with_its_reason(federation: Federation, executor: PlacedExecutor) -> None:
    folder = laid_out(federation, 2)
    (folder.path / "token").write_text("not a token")
    executor.start(folder)
    error = reaped(executor, folder.path.name)
    assert error is not None
    assert folder.read_card()["outcome"] == "failed"


def test_a_job_s_script_carries_nothing_secret(tmp_path: Path) -> None:
    folder = tmp_path / "a run; rm -rf $HOME"
    folder.mkdir()
    (folder / "token").write_text("secret-token")
    script = job_script(folder, Slurm(partition="gpu"))
    assert "secret-token" not in script
    assert "#SBATCH --partition=gpu" in script.splitlines()
    command = [line for line in script.splitlines() if line.startswith("exec ")]
    assert command[0].endswith(f"--home '{folder}'")
    syntax = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (syntax.returncode, syntax.stderr) == (0, "")
