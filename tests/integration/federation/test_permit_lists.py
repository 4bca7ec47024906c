"""Signed lists of revoked permits, which the gateway passes on: a run ends at the node, whatever the lab would like."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from datalab.permits.keys import generate_key, key_id
from datalab.permits.lists import FOLDER, RevocationFiles
from datalab.permits.revocation import sign_revocations
from federation.errors import RunFailedError
from federation.node import control
from federation.run import ConfigValue
from tests.support.federation import Federation
from tests.support.waiting import events, wait_until


def test_a_revoked_permit_ends_its_runs_at_once_and_stays_revoked(alone: Federation) -> None:
    files = RevocationFiles(alone.lab.folder(FOLDER))
    log = alone.node_home("oslo").path / "audit.jsonl"
    published: list[float] = []

    def lists() -> list[dict[str, Any]]:
        return [one for one in events(log) if one["event"] == "permits revoked"]

    def publish(_: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        if event["event"] != "round":
            return
        if event["number"] == 1:
            stranger = generate_key()
            files.put(key_id(stranger), sign_revocations(["permit-1"], stranger, issued=datetime.now(UTC)))
            files.put(key_id(alone.key), sign_revocations(["permit-2"], alone.key, issued=datetime.now(UTC)))
            wait_until(lambda: len(lists()) == 1, "the list that names another permit had come")
        if event["number"] == 3:
            published.append(time.monotonic())
            files.put(key_id(alone.key), sign_revocations(["permit-1"], alone.key, issued=datetime.now(UTC)))
            wait_until(lambda: len(lists()) == 2, "the list had come")
            published.append(time.monotonic())

    config: dict[str, ConfigValue] = {"num-server-rounds": 1_000, "pause": 0.1}
    with pytest.raises(RunFailedError):
        alone.run(["oslo"], config=config, run_id="revoked", while_running=publish)
    (ended,) = [one["details"] for one in events(log) if one["event"] == "run ended"]
    assert (ended["run"], ended["outcome"]) == ("revoked", "permit revoked")
    assert [one["details"]["permits"] for one in lists()] == [1, 1]
    assert published[1] - published[0] < 10, "a second where the machine is not busy"

    # The gateway has forgotten it, and the node has not, although it was started anew.
    for path in files.folder.iterdir():
        path.unlink()
    control.stop(alone.node_home("oslo"))
    alone.supervisor.forget(alone.processes["oslo"])
    alone.start_node("oslo")
    alone.wait_for("oslo")
    with pytest.raises(RunFailedError, match="revoked"):
        alone.run(["oslo"])
    alone.run(["oslo"], permit=alone.permit(id="permit-2"))
