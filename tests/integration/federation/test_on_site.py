"""A raw file with faults at a site: what is wrong stays there, line by line; the catalog learns how much it was."""

from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from catalog.client import lab_client
from catalog.records import DatasetDraft, Version
from datalab.canonical import sha256_file
from datalab.curation.contract import load_contract
from datalab.errors import ExitCode
from datalab.service import python_module
from datalab.supervisor import Supervisor
from datalab.up import start_lab
from tests.support.federation import DATASET, TOY_CONTRACT, Federation

GOOD = [f"{number / 10},{number % 2}" for number in range(100)]
PEOPLE_CONTRACT = Path(__file__).parents[2] / "support" / "people.odcs.yaml"
PERSON = "zz-person-4711-planted"
FAULTS = ["not-a-number,0"] * 5 + ["1.0,7"] * 6 + [",1"]


@pytest.fixture(scope="module")
def with_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A whole lab (object store, lab server, gateway), in which the toy dataset is registered for one node."""
    with Supervisor() as supervisor:
        federation = Federation(tmp_path_factory.mktemp("lab"), supervisor, start=False)
        (federation.lab.path / "datalab.toml").write_text(
            "[ports]\nobject_store = 0\nlab = 0\ngateway = 0\nenrolment = 0\n", encoding="utf-8"
        )
        start_lab(supervisor, federation.lab)
        with lab_client(federation.lab, "operator") as lab:
            lab.register_dataset(described(TOY_CONTRACT, DATASET, "utrecht"))
            lab.register_dataset(described(PEOPLE_CONTRACT, "people", "delft"))
        yield federation


def described(path: Path, dataset: str, node: str) -> DatasetDraft:
    contract = load_contract(path)
    return DatasetDraft(
        id=dataset,
        title="Toy",
        holder="utrecht",
        holder_name="Utrecht",
        country="NL",
        steward="Steward",
        theme="HEAL",
        access="federated-only",
        data_class="personal",
        kept_at="site",
        node=node,
        contract_id=contract.id,
        contract_version=contract.version,
        legal_basis="GDPR Art. 9(2)(j)",
        purposes=("e",),
    )


def announced(federation: Federation, dataset: str = DATASET, *, erasures: int = 0) -> Version:
    """Wait for version 1: the gateway tells the catalog while the node is already connected."""
    deadline = time.monotonic() + 20
    with lab_client(federation.lab, "operator") as lab:
        while time.monotonic() < deadline:
            for one in lab.versions(dataset):
                if len(one.erasures) == erasures:
                    return one
            time.sleep(0.05)
    raise AssertionError("not announced in time")


def test_rejected_rows_are_listed_on_site_and_counted_in_the_catalog(with_lab: Federation) -> None:
    home = with_lab.add_node("utrecht", raw="x,event\n" + "\n".join(FAULTS + GOOD) + "\n")
    with_lab.wait_for("utrecht")
    with (home.path / "curated" / DATASET / "v1" / "rejects.csv").open(encoding="utf-8", newline="") as file:
        rejects = list(csv.DictReader(file))
    assert [(one["file"], one["line"], one["column"], one["rule"]) for one in rejects[:6]] == [
        *(("toy.csv", str(line), "x", "type") for line in range(2, 7)),
        ("toy.csv", "7", "event", "code list"),
    ]
    assert "not-a-number" not in str(rejects)
    report = announced(with_lab).report
    assert (report.rows_in, report.rows, report.rejected_rows) == (112, 100, 12)


@pytest.mark.slow
def test_a_person_whom_the_holder_erases_on_site_is_in_no_later_run(with_lab: Federation) -> None:
    people = [f"p-{number},{number / 10},{number % 2}" for number in range(100)]
    raw = "person,x,event\n" + "\n".join([*people, f"{PERSON},77.125,1"]) + "\n"
    home = with_lab.add_node("delft", raw=raw, contract=PEOPLE_CONTRACT, dataset_id="people")
    with_lab.wait_for("delft")
    before, table = announced(with_lab, "people"), home.path / "curated" / "people" / "v1" / "data.parquet"
    assert len(duckdb.execute(f"SELECT person FROM '{table}' WHERE person = '{PERSON}'").fetchall()) == 1
    (home.path / "export" / "toy.csv").chmod(0o400)

    erase = [*python_module("datalab"), "node", "erase", "--home", str(home.path), "--reason", "GDPR Art. 17"]
    said = subprocess.run(erase, input=f"{PERSON}\n", capture_output=True, text=True, check=True)
    assert "Removed from people version 1." in said.stdout
    assert "toy.csv still names them" in said.stderr
    kept = [path for path in home.path.rglob("*") if path.is_file() and path.name != "toy.csv"]
    assert [path for path in kept if PERSON.encode() in path.read_bytes()] == []
    with_lab.run(["delft"], dataset="people")  # the agent, which went on, has taken over what changed

    after = announced(with_lab, "people", erasures=1)
    assert after.report.parquet_sha256 == sha256_file(table) != before.report.parquet_sha256
    assert after.erasures[0].sha256 == before.report.parquet_sha256
    assert (after.report.rows, after.public.rows) == (101, 101)  # as it was told before: a difference would be somebody
    assert duckdb.execute(f"SELECT count(*) FROM '{table}'").fetchall() == [(100,)]
    log = (home.path / "audit.jsonl").read_text(encoding="utf-8")
    assert [log.count(f'"{event}"') for event in ("erasure ordered", "people left out")] == [1, 1]
    assert "p-" not in said.stdout + log


@pytest.mark.parametrize(
    ("raw", "said"),
    [("y,event\n1,0\n", "x"), ("", "toy.csv")],
    ids=["wrong column", "empty file"],
)
def test_a_file_that_cannot_be_used_ends_the_agent_with_one_sentence(with_lab: Federation, raw: str, said: str) -> None:
    name = f"unusable-{len(raw)}"
    home = with_lab.add_node(name, raw=raw)
    agent = with_lab.processes[name]
    assert agent.wait(timeout=30) == ExitCode.BAD_INPUT
    with_lab.supervisor.forget(agent)
    last = home.log_file("node").read_text(encoding="utf-8").splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert "Traceback" not in last


def test_a_raw_file_that_changed_needs_a_new_version(with_lab: Federation, tmp_path: Path) -> None:
    home = with_lab.add_node("changing")
    with_lab.wait_for("changing")
    with_lab.processes["changing"].terminate()
    with_lab.processes["changing"].wait()
    with_lab.supervisor.forget(with_lab.processes["changing"])
    (home.path / "export" / "toy.csv").write_text("x,event\n1.0,1\n", encoding="utf-8")
    with_lab.start_node("changing")
    agent = with_lab.processes["changing"]
    assert agent.wait(timeout=30) == ExitCode.BAD_INPUT
    with_lab.supervisor.forget(agent)
    assert "a version never changes" in home.log_file("node").read_text(encoding="utf-8").splitlines()[-1]
