"""One suite for every kind of place where runners and compute nodes run.

They run, are started again, are stopped, and leave no job; and why one has not begun is said.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.progress import Standstill
from datalab.errors import DatalabError, NotFoundError
from datalab.home import Home
from datalab.settings import Kubernetes, Slurm
from datalab.supervisor import Supervisor
from federation import client
from federation.lab import delay
from federation.run import RunFolder, RunPlace
from federation.scheduler.executor import PlacedExecutor
from federation.scheduler.kubernetes import KubernetesPlace
from federation.scheduler.nodes import ComputeNodes
from federation.scheduler.places import LocalPlace, Place, node_of, runner_of
from federation.scheduler.slurm import SlurmPlace, job_script
from tests.support.federation import DATASET, ECHO, Federation
from tests.support.kubernetes import Cluster, kubernetes_cluster
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
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Each kind of place."""
    if request.param == "local":
        with Supervisor() as supervisor:
            yield LocalPlace(supervisor)
        return
    if request.param == "kubernetes":
        with kubernetes_cluster(tmp_path_factory.mktemp("kubernetes")) as cluster:
            yield in_kubernetes(cluster)
            assert cluster.jobs == {}
            assert len(cluster.policies) == 1
        return
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as environment, pytest.MonkeyPatch.context() as patch:
        for name in ("PATH", "SLURM_CONF"):
            patch.setenv(name, environment[name])
        yield SlurmPlace(Slurm(partition="main"))
        left = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout
        assert left == ""


@pytest.fixture
def executor(place: Place) -> PlacedExecutor:
    return PlacedExecutor(place)


def in_kubernetes(cluster: Cluster) -> KubernetesPlace:
    return KubernetesPlace(Kubernetes(image=IMAGE, claim="home", user=65532, kubeconfig=cluster.kubeconfig))


def laid_out(federation: Federation, rounds: int, node: str = NODE) -> RunFolder:
    places = [RunPlace(node=node, dataset=DATASET)]
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


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_compute_node_works_is_started_again_outlives_a_scheduler_and_is_ended(
    federation: Federation, place: Place
) -> None:
    name = f"gpu-{type(place).__name__.removesuffix('Place').lower()}"
    shutil.copytree(federation.add_node(name, start=False).path, federation.lab.folder("nodes") / name)
    part = node_of(federation.lab, name)
    nodes = ComputeNodes(federation.lab, place, [name])

    def process() -> int:
        """Return the agent's process, once it is connected."""
        found = 0

        def connected() -> bool:
            nonlocal found
            nodes.step()
            try:
                found = int(Home(part.home).address("node")["pid"])
                os.kill(found, 0)
            except (NotFoundError, ProcessLookupError):
                return False
            return True

        wait_until(connected, "the compute node is connected")
        return found

    first = process()
    executor = PlacedExecutor(place)
    folder = laid_out(federation, 60, name)
    executor.start(folder)
    process_of(folder)
    os.kill(first, signal.SIGKILL)
    ended: dict[str, DatalabError | None] = {}

    def over() -> bool:
        nodes.step()
        ended.update(executor.reap())
        return folder.path.name in ended

    wait_until(over, "the run has ended")
    assert ended[folder.path.name] is None
    assert len(folder.read_card()["rounds"]) == 60  # it went on with what it had recorded
    second = process()
    assert second != first

    nodes.leave()  # the scheduler ends, and comes back
    nodes = ComputeNodes(federation.lab, place, [name])
    assert (process() == second) is not isinstance(place, LocalPlace)
    last = process()
    if isinstance(place, LocalPlace):
        nodes.leave()
    nodes = ComputeNodes(federation.lab, place, [])  # and is to keep none any more

    def gone() -> bool:
        nodes.step()
        try:
            os.kill(last, 0)
        except ProcessLookupError:
            return place.find(part) is None
        return False

    wait_until(gone, "the compute node has ended")


@pytest.mark.slow
@WITH_KUBECTL
def test_why_a_pod_has_not_begun_is_said_and_one_that_never_can_is_given_up(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.scheduler.executor.LOOK", 0.2)
    with kubernetes_cluster(tmp_path) as cluster:
        executor = PlacedExecutor(in_kubernetes(cluster))
        full = "0/3 nodes are available: 3 Insufficient memory."
        cluster.held = {
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": full}]
        }
        folder = laid_out(federation, 2)
        executor.start(folder)
        monkeypatch.setattr("federation.scheduler.executor.HOPELESS", 0.5)
        wait_until(lambda: not executor.reap() and folder.read_delay() != "", "it is said why it waits")
        assert folder.read_delay() == f"no-room {full}"
        assert delay(federation.lab, folder.path.name) == (Standstill.NO_ROOM, full)
        time.sleep(1)
        assert executor.reap() == {}  # room is waited for
        cluster.let_begin()
        assert reaped(executor, folder.path.name) is None
        assert delay(federation.lab, folder.path.name) is None

        waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
        cluster.held = {"containerStatuses": [{"name": "runner", "state": {"waiting": waiting}}]}
        folder = laid_out(federation, 2)
        executor.start(folder)
        reaped(executor, folder.path.name)
        assert "could not be started" in folder.read_card()["reason"]
        assert "ImagePullBackOff: Back-off pulling image" in folder.read_card()["reason"]
        assert cluster.jobs == {}


@pytest.mark.slow
@WITH_SLURM
def test_why_a_job_waits_in_slurm_s_queue_is_said(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.scheduler.executor.LOOK", 0.2)
    with slurm_cluster(tmp_path) as environment:
        for name in ("PATH", "SLURM_CONF"):
            monkeypatch.setenv(name, environment[name])
        executor = PlacedExecutor(SlurmPlace(Slurm(partition="main")))
        subprocess.run(["scontrol", "update", "PartitionName=main", "State=DOWN"], check=True)
        folder = laid_out(federation, 2)
        executor.start(folder)
        wait_until(lambda: not executor.reap() and "PartitionDown" in folder.read_delay(), "it is said why it waits")
        assert delay(federation.lab, folder.path.name) == (Standstill.NO_ROOM, "PartitionDown")
        subprocess.run(["scontrol", "update", "PartitionName=main", "State=UP"], check=True)
        assert reaped(executor, folder.path.name) is None


def test_a_job_s_script_carries_nothing_secret(tmp_path: Path) -> None:
    folder = tmp_path / "a run; rm -rf $HOME"
    folder.mkdir()
    (folder / "token").write_text("secret-token")
    script = job_script(runner_of(RunFolder(folder)), Slurm(partition="gpu"))
    assert "secret-token" not in script
    assert "#SBATCH --partition=gpu" in script.splitlines()
    command = [line for line in script.splitlines() if line.startswith("exec ")]
    assert command[0].endswith(f"--home '{folder}'")
    syntax = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (syntax.returncode, syntax.stderr) == (0, "")
