"""What foreign code can reach and use up at a node: its data and its limits, and nothing else.

``test_as_an_ordinary_user`` runs all of these again under a user id that is not root's.
"""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

import pytest

from federation.errors import RunFailedError
from federation.run import ConfigValue
from federation.sandbox.guard import LOG_BYTES
from tests.integration.federation.conftest import HOSTILE
from tests.integration.sandbox.conftest import MEMORY, NODE, PROCESSES
from tests.support.federation import Federation

pytestmark = pytest.mark.slow


def attempt(federation: Federation, what: str, *targets: str, **more: Any) -> list[str]:
    """Return what came of an attempt on each target."""
    config: dict[str, ConfigValue] = {
        "attempt": what,
        "target": ",".join(targets),
        "seconds": 30 if "many processes" in what or "files" in what else 3,
    }
    run = federation.run([NODE], app=HOSTILE, config=config, **more)
    (outcomes,) = json.loads((run.artifacts / "outcomes.json").read_text(encoding="utf-8"))
    return [str(one) for one in outcomes]


def test_there_is_no_network_not_even_to_the_gateway(federation: Federation) -> None:
    gateway = federation.lab.address("gateway")
    (outcome,) = attempt(federation, "connect", f"{gateway['host']}:{gateway['port']}")
    assert outcome.startswith("refused")


def test_no_socket_can_be_opened_but_a_local_one(federation: Federation) -> None:
    families = ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG")
    assert set(attempt(federation, "socket", *families)) == {"refused: OSError"}
    assert attempt(federation, "socket", "AF_UNIX") == ["done"]


def test_the_nodes_key_and_raw_data_cannot_be_read(federation: Federation) -> None:
    home = federation.node_home(NODE).path
    own = [home / "identity" / "identity.pem", home / "export" / "toy.csv", home / "node.toml", home / "audit.jsonl"]
    assert all(path.exists() for path in own)
    agent = federation.processes[NODE].pid
    places = ["/etc/passwd", "/etc/shadow", "/datalab/rejects.csv", f"/proc/{agent}/environ", str(home / "runs")]
    outcomes = attempt(federation, "read", *map(str, own), *places)
    assert set(outcomes) == {"refused: FileNotFoundError"}


def test_data_app_system_and_kernel_are_read_only(federation: Federation) -> None:
    outcomes = attempt(
        federation,
        "open for writing",
        *("/datalab/data.parquet", "/datalab/app/pyproject.toml", "/usr/bin/env", "/proc/sys/kernel/core_pattern"),
    )
    assert set(outcomes) <= {"refused: OSError", "refused: PermissionError"}
    assert attempt(federation, "kernel settings") == ["0"]


def test_nothing_can_be_written_outside_the_folders_that_are_bounded(federation: Federation) -> None:
    outcomes = attempt(federation, "write", "/new", "/datalab/new", "/dev/new", "/usr/new", "/datalab/inbox/new")
    assert set(outcomes) <= {"refused: OSError", "refused: PermissionError"}


def test_system_calls_that_no_app_needs_are_refused(federation: Federation) -> None:
    calls = ("unshare", "ptrace", "keyctl", "memfd_create", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup")
    assert set(attempt(federation, "system call", *calls)) == {"refused: EPERM"}
    assert set(attempt(federation, "become root", "0", "2000000000")) <= {
        "refused: OSError",
        "refused: PermissionError",
    }


def test_nothing_of_the_agents_environment_is_visible(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", str(uuid.uuid4()))
    assert "SECRET" not in attempt(federation, "environment")[0]


def test_no_other_process_is_visible(federation: Federation) -> None:
    assert len(attempt(federation, "processes")[0].split()) <= 3


def test_one_process_gets_no_more_memory_than_the_node_says(federation: Federation) -> None:
    assert attempt(federation, "allocate", str(1 << 20), str(MEMORY + 1)) == [str(1 << 20), "refused: MemoryError"]


def test_what_an_app_prints_does_not_reach_the_wire(federation: Federation) -> None:
    assert attempt(federation, "print") == ["done"]


def test_scratch_space_is_bounded(federation: Federation) -> None:
    assert attempt(federation, "fill", "/tmp", "/dev/shm") == ["refused: OSError"] * 2


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("hang", "it took too long"),
        ("ignore SIGTERM", "it took too long"),
        ("spin", "it took too long"),
        ("spin in many processes", "it used more processor time than it may"),
        ("allocate in many processes", "it used more memory than it may"),
        ("share memory without end", "it used more memory than it may"),
        ("fill the outbox", "it wrote more than it may"),
        ("fill a deleted file", "it wrote more than it may"),
        ("make files without end", "it made more files than it may"),
        ("make scratch files without end", "it made more files than it may"),
        ("hide a folder", "it hid what it wrote"),
        ("write to the pipe", "it broke its protocol"),
        ("kill all", "ended by itself"),
        ("reply with a link", "cannot be read"),
        ("reply with a folder", "cannot be read"),
        ("reply with something else", "does not have the digest"),
    ],
)
def test_what_goes_beyond_a_limit_ends_the_worker_with_a_typed_error(
    federation: Federation, what: str, said: str
) -> None:
    if what == "hide a folder" and os.geteuid() == 0:
        said = "it took too long"  # from root nothing is hidden
    with pytest.raises(RunFailedError, match=said) as failed:
        attempt(federation, what, "x")
    assert "/datalab" not in str(failed.value)


@pytest.mark.usefixtures("unharmed")
def test_a_fork_bomb_stays_within_its_processes(federation: Federation) -> None:
    with pytest.raises(RunFailedError, match="it took too long"):
        attempt(federation, "fork bomb", "x")
    log = federation.node_home(NODE).path / "log"
    newest = max(log.glob("run-*.log"), key=lambda path: path.stat().st_mtime_ns)
    most = max(int(line.split()[2]) for line in newest.read_text(encoding="utf-8").splitlines() if "alive" in line)
    assert 5 < most <= PROCESSES


@pytest.mark.usefixtures("unharmed")
def test_what_it_says_on_standard_error_is_cut_off(federation: Federation) -> None:
    assert attempt(federation, "print without end", run_id="talkative") == ["done"]
    assert federation.node_home(NODE).log_file("run-talkative").stat().st_size <= LOG_BYTES
