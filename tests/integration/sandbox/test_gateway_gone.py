"""A ServerApp that never asks for anything ends with its runner's connection."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from datalab.supervisor import Supervisor
from federation.errors import RunFailedError
from federation.run import ConfigValue
from tests.integration.federation.conftest import HOSTILE
from tests.integration.federation.test_faults import eventually
from tests.support.federation import Federation


def test_an_app_that_only_computes_ends_when_the_gateway_is_gone(tmp_path: Path, supervisor: Supervisor) -> None:
    federation = Federation(tmp_path, supervisor)
    federation.add_node("oslo", apps=(HOSTILE,))
    federation.wait_for("oslo")

    def kill(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] == "nodes":
            log = federation.lab.path / "runs" / "computing" / "log" / "server-app.log"
            assert eventually(lambda: b"under way" in log.read_bytes(), seconds=30)
            federation.processes["gateway"].kill()

    config: dict[str, ConfigValue] = {"at": "lab", "attempt": "spin", "target": "x"}
    with pytest.raises(RunFailedError, match=r"The gateway (is not available|closed)"):
        federation.run(["oslo"], app=HOSTILE, config=config, run_id="computing", grace=1.0, while_running=kill)
    supervisor.forget(federation.processes["gateway"])
