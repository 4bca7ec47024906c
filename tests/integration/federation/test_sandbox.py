"""What foreign code can reach from inside the worker's sandbox at a node: its data, and nothing else."""

from __future__ import annotations

import json
import uuid

import pytest

from federation.errors import RunFailedError
from tests.integration.federation.conftest import HOSTILE, NODES
from tests.support.federation import Federation


def attempt(federation: Federation, what: str, target: str = "") -> str:
    """Return what came of an attempt at one node."""
    run = federation.run([NODES[0]], app=HOSTILE, config={"attempt": what, "target": target})
    (outcome,) = json.loads((run.artifacts / "outcomes.json").read_text(encoding="utf-8"))
    return str(outcome)


def test_there_is_no_network_not_even_to_the_gateway(federation: Federation) -> None:
    gateway = federation.lab.address("gateway")
    assert attempt(federation, "connect", f"{gateway['host']}:{gateway['port']}").startswith("refused")


def test_the_nodes_key_and_raw_data_cannot_be_read(federation: Federation) -> None:
    home = federation.node_home(NODES[0]).path
    for path in (home / "identity" / "key.pem", home / "export" / "toy.csv", home / "node.toml"):
        assert path.exists()
        assert attempt(federation, "read", str(path)) == "refused: FileNotFoundError"
    assert attempt(federation, "read", "/etc/passwd") == "refused: FileNotFoundError"


def test_data_app_and_system_are_read_only(federation: Federation) -> None:
    for path in ("/data/data.parquet", "/app/pyproject.toml", "/usr/bin/env", "/inbox/x"):
        assert attempt(federation, "write", path) == "refused: OSError"


def test_nothing_of_the_agents_environment_or_processes_is_visible(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", str(uuid.uuid4()))
    assert "SECRET" not in attempt(federation, "environment")
    assert len(attempt(federation, "processes").split()) <= 3


def test_what_an_app_prints_does_not_reach_the_wire(federation: Federation) -> None:
    assert attempt(federation, "print") == "done"


def test_a_task_that_hangs_is_ended_at_its_time_limit(federation: Federation) -> None:
    with pytest.raises(RunFailedError, match="took too long"):
        federation.run([NODES[0]], app=HOSTILE, config={"attempt": "hang"})
