"""The systemd unit is as hardened as the sandbox allows, and lets the sandbox be."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "datalab-node.service"
MOST_EXPOSED = 32
"""Of 100, as ``systemd-analyze security`` counts; 92 is a unit that protects nothing."""


def test_its_exposure_stays_low() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_lets_bubblewrap_make_namespaces() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    assert service["NoNewPrivileges"] == "yes"
    assert service["Delegate"] == "yes"
    assert "@mount" in service["SystemCallFilter"]
    assert not {"RestrictNamespaces", "ProtectKernelTunables", "ProtectKernelLogs", "ProcSubset"} & set(service)
