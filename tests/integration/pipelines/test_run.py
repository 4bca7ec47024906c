"""A curation run as the lab starts it: real store, real lab server, real Dagster run, in processes of their own."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from catalog.client import lab_client
from catalog.erasure.records import ErasureDraft
from catalog.lineage import RunEvent
from catalog.records import DatasetPatch
from catalog.service import SERVICE as LAB
from datalab.curation.contract import load_contract
from datalab.curation.deidentify import prepare
from datalab.errors import ExitCode
from datalab.service import Service
from datalab.storage.service import SERVICE as OBJECT_STORE
from datalab.storage.store import connect
from pipelines.sources import BUILT_IN
from tests.golden.curated import SOURCES
from tests.integration.pipelines.conftest import CONTRACT, Lab
from tests.support.killed_run import STEPS
from tests.support.openlineage import check_event

ROOT = Path(__file__).parents[3]
ASSETS_IN_ORDER = ("landing", "validated", "deidentified", "harmonised", "profiled", "published")
ASSETS = set(ASSETS_IN_ORDER)


def with_faults(source: Path, target: Path) -> Path:
    """Add a record with a broken number, and one that has too few fields."""
    lines = source.read_text(encoding="utf-8").splitlines()
    header, first = lines[0].split(","), lines[1].split(",")
    first[header.index("nodes")] = "three"
    target.write_text("\n".join([*lines, ",".join(first), "50-54"]) + "\n", encoding="utf-8")
    return target


@pytest.fixture(scope="module")
def undisturbed(lab: Lab, prepared: Path) -> str:
    """The digest of what a run makes of the prepared file when nothing happens to it."""
    lab.register("undisturbed")
    lab.curate(lab.client.upload("undisturbed", prepared))
    return lab.client.version("undisturbed", 1).files[0].sha256


def test_an_upload_becomes_version_1_with_its_quality_record(lab: Lab, prepared: Path, tmp_path: Path) -> None:
    lab.register("breast-cancer")
    upload = lab.client.upload("breast-cancer", with_faults(prepared, tmp_path / "export.csv"))
    outcome = lab.curate(upload)

    version = lab.client.version("breast-cancer", 1)
    report = version.report
    assert (outcome["dataset"], outcome["version"], outcome["run_id"]) == ("breast-cancer", 1, version.pipeline_run)
    assert report.rejected_rows == outcome["rejected_rows"] == 2
    assert report.rows == outcome["rows"]
    assert report.rows is not None
    assert report.rows_in == report.rows + 2 + sum(count or 0 for count in report.excluded.values())
    assert report.raw_sha256 == upload.sha256
    assert outcome["parquet_sha256"] == report.parquet_sha256 == version.files[0].sha256
    assert outcome["checks"] == {"passed": version.checks_passed, "failed": 0}
    assert outcome["asset_checks"] == dict.fromkeys(
        ("k_anonymity", "parquet_readable", "row_accounting", "quality_rules"), True
    )
    assert set(outcome["seconds"]) == ASSETS


def test_its_lineage_is_kept_with_it(lab: Lab) -> None:
    events = [RunEvent.model_validate(one) for one in lab.client.lineage("breast-cancer", 1)]
    for one in events:
        check_event(one.as_json())
    stages = [(one.job.name.rpartition(".")[2], one.eventType) for one in events]
    assert stages == [(stage, kind) for stage in ASSETS_IN_ORDER for kind in ("START", "COMPLETE")]
    for before, after in pairwise(one for one in events if one.eventType == "COMPLETE"):
        assert before.outputs[0].name == after.inputs[0].name
    version = lab.client.version("breast-cancer", 1)
    facets = events[-1].outputs[0].outputFacets["outputStatistics"].model_dump()
    assert (facets["rowCount"], facets["size"]) == (version.report.rows, version.files[0].bytes)
    command = [
        "dataset",
        "lineage",
        "breast-cancer",
        "--as",
        "openlineage",
        "--version",
        "1",
        "--home",
        str(lab.home.path),
    ]
    done = subprocess.run([sys.executable, "-m", "datalab", *command], check=True, capture_output=True, text=True)
    assert [RunEvent.model_validate_json(line) for line in done.stdout.splitlines()] == events


def test_what_was_published_is_sorted_zstd_parquet(lab: Lab, tmp_path: Path) -> None:
    [file] = lab.client.version("breast-cancer", 1).files
    connect(lab.home).get_file(file.key, tmp_path / "data.parquet", sha256=file.sha256)
    path = str(tmp_path / "data.parquet")
    compression = duckdb.execute("SELECT DISTINCT compression FROM parquet_metadata(?)", [path]).fetchall()
    rows = duckdb.execute("SELECT * FROM read_parquet(?)", [path]).fetchall()
    order = load_contract(CONTRACT).harmonised.order
    names = [column[0] for column in duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()]
    assert compression == [("ZSTD",)]
    assert rows == sorted(rows, key=lambda row: tuple(row[names.index(name)] for name in order))


def test_rejects_say_where_and_nothing_of_the_data_stays_behind(lab: Lab) -> None:
    [folder] = (lab.home.path / "curation" / "breast-cancer").iterdir()
    assert {path.name for path in folder.iterdir()} == {"progress.jsonl", "rejects.csv", "report.json", "lineage.jsonl"}
    with (folder / "rejects.csv").open(encoding="utf-8", newline="") as file:
        rejects = list(csv.DictReader(file))
    assert {reject["file"] for reject in rejects} == {"export.csv"}
    assert any(reject["column"] == "nodes" for reject in rejects)
    assert "three" not in (folder / "rejects.csv").read_text(encoding="utf-8")
    assert list(connect(lab.home).list("staging/")) == []


def test_the_same_file_is_not_published_twice(lab: Lab, prepared: Path, tmp_path: Path) -> None:
    upload = lab.client.upload("breast-cancer", with_faults(prepared, tmp_path / "again.csv"))
    outcome = lab.curate(upload)
    assert (outcome["version"], outcome["seconds"]) == (1, {})
    assert len(lab.client.versions("breast-cancer")) == 1


def test_another_file_is_the_next_version(lab: Lab, prepared: Path) -> None:
    outcome = lab.curate(lab.client.upload("breast-cancer", prepared))
    assert (outcome["version"], outcome["rejected_rows"]) == (2, 0)


@pytest.mark.slow
def test_who_was_erased_is_left_out_of_what_is_curated_later(lab: Lab, tmp_path: Path) -> None:
    contract, raw = BUILT_IN / "omop-person.odcs.yaml", tmp_path / "persons.csv"
    lab.register("persons", path=contract, holder="clinic")
    (tmp_path / "export.csv").write_text(
        "".join((SOURCES / "omop-person.csv").read_text().splitlines(keepends=True)[:4])
    )
    prepare(load_contract(contract), tmp_path / "export.csv", raw)
    first = lab.curate(lab.client.upload("persons", raw))
    done = lab.client.erase(ErasureDraft(holder="clinic", pseudonym="2", reason="GDPR Art. 17"))
    assert [(one.dataset, one.version) for one in done.versions] == [("persons", 1)]
    again = tmp_path / "again.csv"  # the holder hands in a file in which the person is still
    again.write_text(raw.read_text().replace("1949", "1950"))
    second = lab.curate(lab.client.upload("persons", again))
    assert (first["version"], second["version"]) == (1, 2)
    for number in (1, 2):
        [file] = lab.client.version("persons", number).files
        connect(lab.home).get_file(file.key, tmp_path / f"{number}.parquet", sha256=file.sha256)
        table = f"'{tmp_path / f'{number}.parquet'}'"
        assert duckdb.execute(f"SELECT person::VARCHAR FROM {table} ORDER BY 1").fetchall() == [("1",), ("3",)]
    with lab_client(lab.home, "pipeline") as pipeline:
        assert pipeline.version("persons", 2).report.excluded["opted out"] in {1, None}


def test_lab_and_node_make_the_same_bytes_of_the_same_file(lab: Lab, tmp_path: Path) -> None:
    contract, raw = BUILT_IN / "eurostat-deaths.odcs.yaml", SOURCES / "eurostat-deaths.csv"
    lab.register("deaths", path=contract)
    assert lab.curate(lab.client.upload("deaths", raw))["rejected_rows"] == 2
    [file] = lab.client.version("deaths", 1).files
    connect(lab.home).get_file(file.key, tmp_path / "lab.parquet", sha256=file.sha256)

    node = tmp_path / "node"
    (node / "export").mkdir(parents=True)
    (node / "node.toml").write_text("[policy]\npurposes = []\n", encoding="utf-8")
    here = shutil.copy(raw, node / "export")
    command = ["node", "dataset", "add", "deaths", str(here), "--contract", str(contract), "--home", str(node)]
    done = subprocess.run([sys.executable, "-m", "datalab", *command], check=True, capture_output=True, text=True)
    assert "eurostat-deaths.csv:10 geo: code list" in done.stderr
    assert (node / "curated" / "deaths" / "v1" / "data.parquet").read_bytes() == (tmp_path / "lab.parquet").read_bytes()


def test_data_that_is_not_k_anonymous_is_not_published(lab: Lab, prepared: Path, tmp_path: Path) -> None:
    lab.register("one-of-a-kind")
    lines = prepared.read_text(encoding="utf-8").splitlines()
    header, alone = lines[0].split(","), lines[1].split(",")
    alone[header.index("age")] = "20-24"
    (tmp_path / "alone.csv").write_text("\n".join([*lines, ",".join(alone)]) + "\n", encoding="utf-8")
    done = lab.run(lab.client.upload("one-of-a-kind", tmp_path / "alone.csv"))
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.startswith("error: A check that blocks publication has failed")
    assert "(deidentified: k_anonymity)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert lab.client.versions("one-of-a-kind") == []
    assert not list((lab.home.path / "curation" / "one-of-a-kind").glob("*/work"))


def test_a_raw_file_that_was_not_prepared_is_refused_with_a_sentence(lab: Lab, prepared: Path, tmp_path: Path) -> None:
    lab.register("not-prepared")
    lines = prepared.read_text(encoding="utf-8").splitlines()
    raw = [f"pid,{lines[0]}", *(f"{number},{line}" for number, line in enumerate(lines[1:]))]
    (tmp_path / "raw.csv").write_text("\n".join(raw) + "\n", encoding="utf-8")
    done = lab.run(lab.client.upload("not-prepared", tmp_path / "raw.csv"))
    assert done.returncode == ExitCode.BAD_INPUT
    assert "direct identifier column pid" in done.stderr
    assert done.stderr.count("\n") == 1
    assert lab.client.versions("not-prepared") == []


def test_a_dataset_whose_contract_is_not_known_is_refused(lab: Lab, prepared: Path) -> None:
    lab.register("unknown-contract", contract_version="99.0.0")
    done = lab.run(lab.client.upload("unknown-contract", prepared))
    assert done.returncode == ExitCode.NOT_FOUND
    assert "There is no contract" in done.stderr


def test_a_run_that_is_stopped_publishes_nothing_and_leaves_no_data(lab: Lab, prepared: Path) -> None:
    lab.register("stopped")
    upload = lab.client.upload("stopped", prepared)
    with subprocess.Popen(lab.command(upload), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        runs = lab.home.path / "curation" / "stopped"
        while not list(runs.glob("*/work")):
            assert run.poll() is None
            time.sleep(0.01)
        run.terminate()
        run.communicate(timeout=30)
    assert run.returncode != 0
    assert not list(runs.glob("*/work"))
    assert lab.client.versions("stopped") == []
    assert lab.curate(upload)["version"] == 1


@pytest.mark.parametrize(
    "step", [step if step == "staged" else pytest.param(step, marks=pytest.mark.slow) for step in STEPS]
)
def test_what_a_killed_run_had_done_is_taken_up_and_published_once(
    lab: Lab, prepared: Path, undisturbed: str, step: str
) -> None:
    dataset = f"killed-{STEPS.index(step)}"
    lab.register(dataset)
    upload = lab.client.upload(dataset, prepared)
    killed = subprocess.run(
        lab.disturbed(upload),
        env=os.environ | {"KILL_AT": step, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done_before = {stage for stage in ASSETS if (ASSETS_IN_ORDER.index(stage) < ASSETS_IN_ORDER.index(_stage(step)))}

    both = [subprocess.Popen(lab.command(upload), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outcomes = [json.loads(one.communicate()[0]) for one in both]  # the same input twice, at once
    assert [one.returncode for one in both] == [0, 0]
    assert [outcome["version"] for outcome in outcomes] == [1, 1]
    again = [set(outcome["seconds"]) for outcome in outcomes if outcome["seconds"]]
    if step in {"acknowledged", "published: done"}:
        assert again == []
    else:
        assert [one & done_before for one in again] == [set()]
        assert [one | done_before for one in again] == [ASSETS]

    _assert_undisturbed(lab, dataset, undisturbed)


@pytest.mark.parametrize("service", [OBJECT_STORE, LAB], ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("step", "tried_again"),
    [
        ("published: running", "published"),
        pytest.param("landing: running", "landing", marks=pytest.mark.slow),
        pytest.param("staged", "published", marks=pytest.mark.slow),
    ],
)
def test_a_stage_waits_longer_each_time_for_a_service_that_was_killed(
    lab: Lab, prepared: Path, undisturbed: str, step: str, tried_again: str, service: Service
) -> None:
    dataset = f"{service.name}-killed-{STEPS.index(step)}"
    lab.register(dataset)
    upload = lab.client.upload(dataset, prepared)
    held = os.environ | {"HOLD_AT": step, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(lab.disturbed(upload), stdout=subprocess.PIPE, text=True, env=held) as run:
        os.waitid(os.P_PID, run.pid, os.WSTOPPED | os.WNOWAIT)
        _kill(lab, service)
        run.send_signal(signal.SIGCONT)
        runs = lab.home.path / "curation" / dataset
        while sum(path.read_text(encoding="utf-8").count('"FAIL"') for path in runs.glob("*/lineage.jsonl")) < 2:
            assert run.poll() is None
            time.sleep(0.05)
        lab.supervisor.start(service.name, service.module, lab.home)
        outcome = json.loads(run.communicate()[0])
    waits, begun = _dagster_record(lab, outcome["run_id"])
    assert [one[0] for one in waits] == [tried_again] * len(waits)
    assert [one[1] for one in waits] == [2.0**n for n in range(len(waits))]
    assert len(waits) >= 2
    assert begun == list(ASSETS_IN_ORDER)
    _assert_undisturbed(lab, dataset, undisturbed)


def _kill(lab: Lab, service: Service) -> None:
    """Kill a service and what it watches over, as a power failure would."""
    [child] = [child for name, _, child in lab.supervisor._running if name == service.name]
    os.killpg(child.pid, signal.SIGKILL)
    lab.supervisor.forget(child)


def _dagster_record(lab: Lab, run_id: str) -> tuple[list[tuple[str, float]], list[str]]:
    """Return, from Dagster's record of a run, the stages that were to be tried again and after how many seconds.

    And the stages that were begun, not counting those that were begun again.
    """
    from dagster import DagsterEventType

    from pipelines.instance import open_instance

    with open_instance(lab.home) as instance:
        events = [entry.get_dagster_event() for entry in instance.all_logs(run_id) if entry.is_dagster_event]
    waits = [
        (str(one.step_key), one.step_retry_data.seconds_to_wait or 0)
        for one in events
        if one.event_type is DagsterEventType.STEP_UP_FOR_RETRY
    ]
    return waits, [str(one.step_key) for one in events if one.event_type is DagsterEventType.STEP_START]


def _assert_undisturbed(lab: Lab, dataset: str, undisturbed: str) -> None:
    """Check that a dataset has one version, which is that of an undisturbed run, and that nothing else is left."""
    [version] = lab.client.versions(dataset)
    assert version.report.parquet_sha256 == version.files[0].sha256 == undisturbed
    objects = connect(lab.home)
    assert list(objects.list(f"staging/{dataset}/")) == []
    [kept] = objects.list(f"data/{dataset}/")
    with objects.open(kept.key) as file:
        assert hashlib.sha256(file.read()).hexdigest() == undisturbed
    assert not list((lab.home.path / "curation" / dataset).glob("*/work"))


def _stage(step: str) -> str:
    return step.partition(":")[0] if ":" in step else "published"


def test_a_contract_that_breaks_something_without_saying_so_is_refused(
    lab: Lab, prepared: Path, tmp_path: Path
) -> None:
    text = CONTRACT.read_text(encoding="utf-8").replace("id: cancer-gbsg", "id: ours")
    contract = lab.home.folder("contracts") / "ours.odcs.yaml"
    contract.write_text(text, encoding="utf-8")
    lab.register("ours", path=contract)
    assert lab.curate(lab.client.upload("ours", prepared))["version"] == 1

    more = tmp_path / "more.csv"
    more.write_text(prepared.read_text(encoding="utf-8") + "x\n", encoding="utf-8")
    upload = lab.client.upload("ours", more)
    for version, old, new, said in [
        ("1.0.0", "value: 10", "value: 11", "its version has not risen"),
        ("1.1.0", "value: 10", "value: 5", "needs a new major version"),
    ]:
        contract.write_text(text.replace("version: 1.0.0", f"version: {version}").replace(old, new), encoding="utf-8")
        dataset = lab.client.dataset("ours")
        if version != dataset.contract_version:
            lab.client.update_dataset("ours", DatasetPatch(contract_version=version), revision=dataset.revision)
        done = lab.run(upload)
        assert (done.returncode, said in done.stderr) == (ExitCode.BAD_INPUT, True), done.stderr
    assert len(lab.client.versions("ours")) == 1


@pytest.mark.slow
def test_refresh_curates_all_that_waits_once(lab: Lab, prepared: Path, tmp_path: Path) -> None:
    for dataset in ("waits-here", "waits-there"):
        lab.register(dataset)
        lab.client.upload(dataset, prepared)
    (tmp_path / "no.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    lab.client.upload("waits-here", tmp_path / "no.csv")
    command = [sys.executable, "-m", "datalab", "dataset", "refresh", "--at-once", "2", "--home", str(lab.home.path)]
    said = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)]
    assert "waits-here" in said[0]
    assert "waits-there" in said[0]
    assert "no.csv: refused: The file has no header" in said[0]
    assert said[1] == "Nothing waits.\n"
    assert [len(lab.client.versions(dataset)) for dataset in ("waits-here", "waits-there")] == [1, 1]


@pytest.mark.slow
def test_dagster_can_run_what_its_sensor_and_its_schedule_ask_for(lab: Lab, prepared: Path, undisturbed: str) -> None:
    import dagster as dg

    from pipelines.definitions import defs
    from pipelines.defs.curation.sensors import new_landings, refresh
    from pipelines.instance import open_instance

    lab.register("asked-for")
    upload = lab.client.upload("asked-for", prepared)
    with open_instance(lab.home) as instance:

        def asked() -> list[dg.RunRequest]:
            by_schedule = refresh(dg.build_schedule_context(instance=instance))
            by_sensor = new_landings(dg.build_sensor_context(instance=instance))
            assert isinstance(by_schedule, Iterator)
            assert isinstance(by_sensor, Iterator)
            both = [[one for one in some if isinstance(one, dg.RunRequest)] for some in (by_schedule, by_sensor)]
            assert both[0] == both[1]
            return [one for one in both[0] if one.tags["datalab/upload"] == upload.id]

        [request] = asked()
        job = defs.resolve_job_def("curate_landed")
        for _ in range(2):  # the second time, nothing waits
            assert job.execute_in_process(instance=instance, run_config=request.run_config).success
        assert asked() == []
    _assert_undisturbed(lab, "asked-for", undisturbed)


def test_dagster_has_the_whole_record_and_no_secret(lab: Lab) -> None:
    from pipelines.defs.curation.partitions import dataset_versions
    from pipelines.instance import open_instance

    with open_instance(lab.home) as instance:
        partitions = instance.get_dynamic_partitions(str(dataset_versions.name))
        assert {"gbsg|breast-cancer|1", "gbsg|breast-cancer|2"} <= set(partitions)
        [run, *_] = [run for run in instance.get_runs() if run.tags.get("dagster/partition") == "gbsg|breast-cancer|1"]
        assert run.is_success
    records = b"".join(path.read_bytes() for path in (lab.home.path / "dagster").iterdir() if path.is_file())
    secrets = [path for path in (lab.home.path / "secrets").iterdir() if path.is_file()]
    assert len(secrets) >= 10
    assert not [path.name for path in secrets if path.read_bytes() in records]


def test_publishing_tells_the_steward_what_the_standards_still_miss(lab: Lab, prepared: Path) -> None:
    lab.register("terse")
    command = [
        sys.executable,
        "-m",
        "datalab",
        "dataset",
        "publish",
        "terse",
        str(prepared),
        "--home",
        str(lab.home.path),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert said[0].startswith("terse version 1: ")
    assert {line.split(". ")[0] for line in said[1:]} >= {
        "Missing for dcat-ap: description",
        "Missing for healthdcat-ap: contact",
        "Missing for healthdcat-ap: hdab",
        "Missing for croissant: description",
    }
    assert not [line for line in said if ": version. " in line]
