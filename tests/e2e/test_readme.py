"""The README's commands, as a reader would type them, one after the other; and what it says of the product holds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datalab.canonical import sha256_file
from datalab.errors import ExitCode
from tests.e2e.conftest import Demo
from tests.support.documents import blocks, commands

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def first_ten_minutes() -> list[str]:
    """The commands of “The first ten minutes”."""
    part = README.partition("## The first ten minutes")[2].partition("## When something is wrong")[0]
    return [command for block in blocks(part) for command in commands(block)]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def test_the_first_ten_minutes_work_as_written_and_the_same_seed_gives_the_same_model(
    tmp_path: Path, cancer: Demo
) -> None:
    """The README's own demo has the study, rounds and seed of the one before: bit for bit the same parameters."""
    for name in ("pipelines", "federation"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    background: list[subprocess.Popen[str]] = []
    said: dict[str, str] = {}
    try:
        for command in first_ten_minutes():
            if command.startswith(". .venv"):
                continue
            if command.endswith(" &"):
                log = (tmp_path / f"background-{len(background)}.log").open("w", encoding="utf-8")
                arguments = command.removesuffix(" &").split()
                with log:
                    background.append(
                        subprocess.Popen(arguments, cwd=tmp_path, env=environment, stdout=log, stderr=log, text=True)
                    )
                service = "gateway" if "up" in arguments else "node"
                wait_for(tmp_path / arguments[-1] / "run" / f"{service}.json")
                continue
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            said[command] = done.stdout
        everything = "\n".join(said.values())
        assert "29 " in next(out for command, out in said.items() if "dataset prepare" in command)
        assert "gbsg-trial-second-copy version 1: 531 rows, 0 rejected" in everything
        assert "round  10" in everything
        model = sha256_file(tmp_path / "tour" / "lab" / "runs" / "demo-cancer" / "artifacts" / "model.safetensors")
        assert model == {one["name"]: one["sha256"] for one in cancer[1]["artifacts"]}["model.safetensors"]
        assert background[1].wait(timeout=10) == ExitCode.IDENTITY
        assert "revoked" in (tmp_path / "background-1.log").read_text(encoding="utf-8")
    finally:
        for process in reversed(background):
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)


def test_every_exit_code_is_in_the_readme() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert table == {code.value for code in ExitCode} - {ExitCode.OK}


def test_every_link_to_a_file_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_nothing_is_left_to_be_filled_in() -> None:
    assert "@@" not in README
