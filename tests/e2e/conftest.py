"""Running the demo as anyone does, and looking for what it may have left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

DATALAB = str(Path(sys.executable).with_name("datalab"))


def demo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end, and check that no process of it is left."""
    command = [DATALAB, "demo", "--keep", str(folder), "--json", str(folder.with_suffix(".json")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert processes_of(folder) == []
    return done


def processes_of(folder: Path) -> list[str]:
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in argument for argument in process.info["cmdline"] or ())
    ]


Demo = tuple[Path, dict[str, Any], str]
"""A demo that has run: its folder, its JSON, and what it printed."""


@pytest.fixture(scope="session")
def cancer(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The cancer study at few rounds, run once for all tests."""
    folder = tmp_path_factory.mktemp("demo") / "cancer"
    done = demo(folder, "--rounds", "5")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder, json.loads(folder.with_suffix(".json").read_text(encoding="utf-8")), done.stdout
