"""What an uploaded ServerApp can reach and use up at the lab: not the runner's key, nor another run, nor a socket.

``test_as_an_ordinary_user`` runs all of these again under a user id that is not root's.
"""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from typing import Any

import psutil
import pytest

from federation.errors import RunFailedError
from federation.run import ConfigValue, RunFolder
from federation.sandbox.limits import Limits
from tests.integration.federation.conftest import HOSTILE
from tests.integration.federation.test_faults import eventually
from tests.integration.sandbox.conftest import DISK, MEMORY, NODE, PROCESSES
from tests.support.federation import Federation

pytestmark = pytest.mark.slow

LIMITS = Limits(memory_bytes=MEMORY, processes=PROCESSES, cpu_seconds=8, disk_bytes=DISK, files=10_000)


def run(federation: Federation, what: str, *targets: str, **more: Any) -> RunFolder:
    """Have the ServerApp make an attempt on each target, and return the run."""
    config: dict[str, ConfigValue] = {"at": "lab", "attempt": what, "target": ",".join(targets)}
    return federation.run([NODE], app=HOSTILE, config=config, limits=LIMITS, **more)


def attempt(federation: Federation, what: str, *targets: str, **more: Any) -> list[str]:
    """Return what came of an attempt on each target."""
    folder = run(federation, what, *targets, **more)
    (outcomes,) = json.loads((folder.artifacts / "outcomes.json").read_text(encoding="utf-8"))
    return [str(one) for one in outcomes]


def test_there_is_no_network_not_even_to_the_gateway(federation: Federation) -> None:
    gateway = federation.lab.address("gateway")
    (outcome,) = attempt(federation, "connect", f"{gateway['host']}:{gateway['port']}")
    assert outcome.startswith("refused")
    assert set(attempt(federation, "socket", "AF_INET", "AF_NETLINK", "AF_VSOCK")) == {"refused: OSError"}


def test_key_credentials_and_other_runs_cannot_be_read(federation: Federation) -> None:
    federation.lab.secret("storage-runner")
    other = federation.run([NODE], config={"num-server-rounds": 1})
    runs = federation.lab.folder("runs")
    own = [other.card, other.artifacts / "model.npy", other.path / "identity" / "identity.pem"]
    own += [federation.lab.path / "secrets" / "storage-runner", *federation.lab.path.rglob("*.pem")]
    assert all(path.exists() for path in own)
    own += [runs / "prying" / "identity" / "identity.pem", runs / "prying" / "run.json", runs / "prying" / "token"]
    outcomes = attempt(federation, "read", *map(str, own), "/etc/shadow", run_id="prying")
    assert (runs / "prying" / "identity" / "identity.pem").exists()
    assert set(outcomes) == {"refused: FileNotFoundError"}


def test_nothing_of_the_runner_is_visible(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", str(uuid.uuid4()))
    assert "SECRET" not in attempt(federation, "environment")[0]
    assert "SECRET" not in attempt(federation, "read", "/proc/1/environ")[0]
    assert len(attempt(federation, "processes")[0].split()) <= 3


def test_nothing_can_be_written_outside_the_folder_that_is_bounded(federation: Federation) -> None:
    outcomes = attempt(
        federation, "write", "/new", "/datalab/new", "/dev/new", "/datalab/inbox/new", "/datalab/app/new"
    )
    assert set(outcomes) <= {"refused: OSError", "refused: PermissionError"}
    assert attempt(federation, "fill", "/tmp", "/dev/shm") == ["refused: OSError"] * 2


def test_system_calls_that_no_app_needs_are_refused(federation: Federation) -> None:
    assert set(attempt(federation, "system call", "unshare", "ptrace", "bpf")) == {"refused: EPERM"}
    assert set(attempt(federation, "become root", "0")) <= {"refused: OSError", "refused: PermissionError"}


def test_what_it_leaves_behind_is_plain_files(federation: Federation) -> None:
    folder = run(federation, "leave things behind", "x")
    left = [path.relative_to(folder.artifacts).as_posix() for path in folder.artifacts.rglob("*")]
    assert sorted(left) == ["below", "below/plain.txt", "outcomes.json"]
    assert [one["name"] for one in folder.read_card()["artifacts"]] == ["below/plain.txt", "outcomes.json"]


def test_an_exception_becomes_the_name_of_its_class(federation: Federation) -> None:
    with pytest.raises(RunFailedError, match=r"The ServerApp failed \(ValueError\)") as failed:
        run(federation, "raise", "Jane Doe", run_id="raising-at-the-lab")
    assert "Jane Doe" not in str(failed.value)
    log = federation.lab.path / "runs" / "raising-at-the-lab" / "log" / "server-app.log"
    assert "Jane Doe" in log.read_text(encoding="utf-8")


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("spin in many processes", "it used more processor time than it may"),
        ("allocate in many processes", "it used more memory than it may"),
        ("share memory without end", "it used more memory than it may"),
        ("fill the outbox", "it wrote more than it may"),
        ("fill a deleted file", "it wrote more than it may"),
        ("make files without end", "it made more files than it may"),
        ("leave too much behind", "left more than"),
        ("write to the pipe", "it broke its protocol"),
        ("kill all", "it ended by itself"),
        ("exit", "it ended by itself"),
        ("reply with a link", "Every node answered with an error"),
    ],
)
def test_what_goes_beyond_a_limit_ends_the_run_with_a_sentence(federation: Federation, what: str, said: str) -> None:
    with pytest.raises(RunFailedError, match=said):
        run(federation, what, "x")


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    ("what", "end", "said"),
    [
        ("ignore SIGTERM", signal.SIGTERM, "stopped before its end"),
        ("fork bomb", signal.SIGTERM, "stopped before its end"),
        ("spin", signal.SIGTERM, "stopped before its end"),
        ("fork bomb", signal.SIGKILL, "ended unexpectedly"),
    ],
)
def test_an_app_that_never_ends_goes_with_its_runner(
    federation: Federation, what: str, end: signal.Signals, said: str
) -> None:
    name, inside = f"endless-{uuid.uuid4()}", list[psutil.Process]()

    def stop(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "nodes":
            log = federation.lab.path / "runs" / name / "log" / "server-app.log"
            assert eventually(lambda: b"under way" in log.read_bytes(), seconds=30)
            inside.extend(psutil.Process(runner.pid).children(recursive=True))
            runner.send_signal(end)

    with pytest.raises(RunFailedError, match=said):
        # a killed runner is waited for, and the node keeps its worker, for as long as the run's grace is
        run(federation, what, "x", run_id=name, while_running=stop, grace=2.0)
    assert 3 <= len(inside) <= PROCESSES + 2
    assert psutil.wait_procs(inside, timeout=10)[1] == []
