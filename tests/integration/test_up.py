"""``datalab up`` as a person runs it: everything comes up, and one Ctrl-C or one broken part ends all of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from datalab.errors import ExitCode
from datalab.service import installed_services

DATALAB = (sys.executable, "-m", "datalab")
NAMES = {service.name for service in installed_services()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with a compute node of its own, laid out as docs/compute.md says."""
    folder = tmp_path_factory.mktemp("up")
    settings = "[ports]\nobject_store = 0\nlab = 0\ngateway = 0\nenrolment = 0\n[compute]\nnodes = ['gpu-1']\n"
    (folder / "datalab.toml").write_text(settings, encoding="utf-8")
    node = folder / "nodes" / "gpu-1"
    node.mkdir(parents=True, mode=0o700)
    (node / "node.toml").write_text(f"lab_home = '{folder}'\n", encoding="utf-8")
    subprocess.run([*DATALAB, "pki", "init", "--home", str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture
def up(home: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*DATALAB, "up", "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    ) as process:
        yield process
        process.kill()


def processes(home: Path, up: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    """Wait until every part has announced itself, and return its process."""
    announced = [home / "run" / f"{name}.json" for name in NAMES]
    while not all(path.exists() for path in announced):
        assert up.poll() is None
        time.sleep(0.05)
    return {path.stem: psutil.Process(json.loads(path.read_bytes())["pid"]) for path in announced}


def test_ctrl_c_stops_everything(home: Path, up: subprocess.Popen[str]) -> None:
    parts = processes(home, up)
    token = home / "nodes" / "gpu-1" / "token"
    who = ["--organisation", "Gigafactory", "--country", "NL", "--pre-approved"]
    invite = [*DATALAB, "node", "invite", "gpu-1", *who, "--out", str(token), "--home", str(home)]
    subprocess.run(invite, check=True, capture_output=True)
    node = home / "nodes" / "gpu-1" / "run" / "node.json"
    while not node.exists():  # the scheduler has started it, and it has enrolled and connected
        assert up.poll() is None
        time.sleep(0.05)
    assert psutil.Process(json.loads(node.read_bytes())["pid"]) in parts["scheduler"].children()
    everything = [*parts.values(), *(child for part in parts.values() for child in part.children())]
    assert up.stdout is not None
    table = [up.stdout.readline() for _ in range(len(NAMES) + 1)]
    assert {line.split()[0] for line in table} == {"part", *NAMES}
    up.send_signal(signal.SIGINT)
    _, told = up.communicate(timeout=30)
    assert up.returncode == ExitCode.INTERRUPTED
    assert "everything it started has been stopped" in told
    assert not any(process.is_running() for process in everything)
    assert not list((home / "run").iterdir())


def test_a_part_that_ends_ends_the_lab_with_a_sentence(home: Path, up: subprocess.Popen[str]) -> None:
    parts = processes(home, up)
    parts["lab"].kill()
    _, told = up.communicate(timeout=30)
    assert up.returncode == ExitCode.SERVICE_FAILED
    assert "The lab ended unexpectedly" in told
    assert not any(part.is_running() for part in parts.values())


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [*DATALAB, "up", "--home", str(tmp_path / "file" / "lab")], check=False, capture_output=True, text=True
    )
    assert done.returncode == ExitCode.NOT_WRITABLE
    assert done.stderr.startswith("datalab: Cannot make the folder")
    assert done.stderr.count("\n") == 1
