"""``datalab run …`` as people use it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from catalog.client import lab_client
from catalog.records import Announcement
from datalab.errors import ExitCode
from tests.integration.runs.conftest import NODE, PERMIT, Lab
from tests.support.federation import DATASET, ECHO


def datalab(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "datalab", "run", *arguments, "--home", str(lab.home.path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_from_the_command_line_is_downloaded_and_made_again(lab: Lab, tmp_path: Path) -> None:
    run_file = tmp_path / "run.toml"
    run_file.write_text(f'app = "{ECHO}"\npermit = "{PERMIT}"\nrounds = 3\nseed = 5\n[parameters]\nbytes = 400\n')
    asked = ("--file", str(run_file), "--place", f"{NODE}={DATASET}@1", "--config", "noise=true")
    checked = datalab(lab, "submit", *asked, "--dry-run")
    assert checked.returncode == 0, checked.stderr
    assert "yes  permit" in checked.stdout
    done = datalab(lab, "submit", *asked)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("round")] == ["1", "2", "3"]
    (run,) = re.findall(r"^(run-\S+) submitted", done.stdout)
    got = datalab(lab, "download", run, "--out", str(tmp_path / "got"))
    assert got.returncode == 0, got.stderr
    assert {path.name for path in (tmp_path / "got").iterdir()} == {"model.npy", "run-card.json"}
    again = datalab(lab, "reproduce", run)
    assert again.returncode == 0, again.stderr
    assert "the same, byte for byte: model.npy" in again.stdout
    assert run in datalab(lab, "list").stdout


def test_a_run_whose_inputs_people_were_erased_from_since_says_so(lab: Lab) -> None:
    done = datalab(
        lab, "submit", "--app", str(ECHO), "--place", DATASET, "--permit", PERMIT, "--config", "fickle=false"
    )
    (run,) = re.findall(r"^(run-\S+) submitted", done.stdout)
    report = lab.rosa.version(DATASET, 1).report

    def announce(now: str, before: str) -> None:
        changed = report.model_copy(update={"parquet_sha256": now, "replaces": (before,)})
        with lab_client(lab.home, "gateway") as gateway:
            gateway.announce(DATASET, Announcement(node=NODE, version=1, report=changed))

    announce("0" * 64, report.parquet_sha256)
    again = datalab(lab, "reproduce", run)
    assert again.returncode == 0, again.stderr
    assert f"people were erased from its inputs since: {DATASET} v1 on 20" in again.stdout
    announce(report.parquet_sha256, "0" * 64)  # for the tests that come after


def test_what_speaks_against_a_run_is_said_and_nothing_starts(lab: Lab) -> None:
    refused = datalab(lab, "submit", "--app", "logistic", "--place", "nowhere", "--permit", PERMIT)
    assert refused.returncode == ExitCode.REFUSED
    assert "no such version of the dataset nowhere" in refused.stderr
    assert datalab(lab, "submit", "--permit", PERMIT).returncode == ExitCode.BAD_INPUT
    assert datalab(lab, "reproduce", "run-nowhere").returncode == ExitCode.NOT_FOUND
