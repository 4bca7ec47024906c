"""What foreign code can reach from inside the worker's sandbox at a node: its data, and nothing else."""

from __future__ import annotations

import json
import uuid

import pytest

from federation.errors import RunFailedError
from tests.integration.federation.conftest import HOSTILE, NODES
from tests.support.federation import Federation


def attempt(federation: Federation, what: str, *targets: str) -> list[str]:
    """Return what came of an attempt on each target, at one node."""
    run = federation.run([NODES[0]], app=HOSTILE, config={"attempt": what, "target": ",".join(targets)})
    (outcomes,) = json.loads((run.artifacts / "outcomes.json").read_text(encoding="utf-8"))
    return [str(one) for one in outcomes]


def test_there_is_no_network_not_even_to_the_gateway(federation: Federation) -> None:
    gateway = federation.lab.address("gateway")
    (outcome,) = attempt(federation, "connect", f"{gateway['host']}:{gateway['port']}")
    assert outcome.startswith("refused")


def test_the_nodes_key_and_raw_data_cannot_be_read(federation: Federation) -> None:
    home = federation.node_home(NODES[0]).path
    own = [home / "identity" / "identity.pem", home / "export" / "toy.csv", home / "node.toml", home / "audit.jsonl"]
    assert all(path.exists() for path in own)
    outcomes = attempt(
        federation, "read", *map(str, own), "/etc/passwd", "/datalab/rejects.csv", "/datalab/report.json"
    )
    assert set(outcomes) == {"refused: FileNotFoundError"}


def test_data_app_system_and_kernel_are_read_only(federation: Federation) -> None:
    outcomes = attempt(
        federation,
        "open for writing",
        *("/datalab/data.parquet", "/datalab/app/pyproject.toml", "/usr/bin/env", "/proc/sys/kernel/core_pattern"),
    )
    assert set(outcomes) <= {"refused: OSError", "refused: PermissionError"}
    assert attempt(federation, "kernel settings") == ["0"]


def test_nothing_of_the_agents_environment_is_visible(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", str(uuid.uuid4()))
    assert "SECRET" not in attempt(federation, "environment")[0]


def test_no_other_process_is_visible(federation: Federation) -> None:
    assert len(attempt(federation, "processes")[0].split()) <= 3


def test_memory_is_limited_as_the_node_says(federation: Federation) -> None:
    assert attempt(federation, "allocate", str(1 << 20), str(3 << 30)) == [str(1 << 20), "refused: MemoryError"]


def test_what_an_app_prints_does_not_reach_the_wire(federation: Federation) -> None:
    assert attempt(federation, "print") == ["done"]


def test_a_task_that_hangs_is_ended_at_its_time_limit(federation: Federation) -> None:
    with pytest.raises(RunFailedError, match="took too long"):
        federation.run([NODES[0]], app=HOSTILE, config={"attempt": "hang"})
