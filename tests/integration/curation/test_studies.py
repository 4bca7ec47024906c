"""The contracts of the two studies on their real data: counts that were worked out independently."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import duckdb
import pytest

from datalab.canonical import sha256_file
from datalab.curation.contract import load_contract
from datalab.curation.deidentify import prepare
from datalab.curation.engine import curate
from datalab.curation.report import CurationReport
from tests.unit.curation.examples import CONTRACTS

CENSORED = "censored before day 1,096"


def curate_site(site: str, raw: Path, out: Path, *, prepared: bool = False) -> CurationReport:
    return curate(load_contract(CONTRACTS / f"{site}.odcs.yaml"), raw, out, prepared=prepared)


def read_raw(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return [
            {key: int(value) if value.isdigit() else value for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def read_rows(out: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        return database.execute(f"SELECT {columns} FROM read_parquet('{out}/data.parquet')").fetchall()


def test_rotterdam(cancer: Path, tmp_path: Path) -> None:
    report = curate_site("rotterdam", cancer / "rotterdam.csv", tmp_path)
    assert (report.rows_in, report.rows, report.rejected_rows, report.events) == (2982, 2944, 0, 922)
    assert report.excluded == {CENSORED: 38}
    assert report.passed
    patients = read_raw(cancer / "rotterdam.csv")
    by_1096 = [(one["recur"] and one["rtime"] <= 1096) or (one["death"] and one["dtime"] <= 1096) for one in patients]
    assert sum(map(bool, by_1096)) == 922
    assert sum(not event and one["rtime"] < 1096 for event, one in zip(by_1096, patients, strict=True)) == 38


def test_a_death_after_the_follow_up_for_recurrence_counts_by_the_stated_rule(cancer: Path, tmp_path: Path) -> None:
    """43 patients died without a recorded recurrence after the follow-up for it had ended."""
    patients = [one for one in read_raw(cancer / "rotterdam.csv") if one["dtime"] > one["rtime"] and not one["recur"]]
    assert len(patients) == 43
    raw = tmp_path / "late.csv"
    with raw.open("w", newline="") as file:
        writer = csv.DictWriter(file, patients[0].keys())
        writer.writeheader()
        writer.writerows(patients)
    report = curate_site("rotterdam", raw, tmp_path / "out")
    died = sum(one["dtime"] <= 1096 for one in patients)
    followed = sum(one["dtime"] > 1096 <= one["rtime"] for one in patients)
    assert (report.events, report.rows, report.excluded[CENSORED]) == (died, died + followed, 43 - died - followed)


def test_gbsg(cancer: Path, tmp_path: Path) -> None:
    report = curate_site("gbsg", cancer / "gbsg.csv", tmp_path)
    assert (report.rows_in, report.rows, report.rejected_rows, report.events) == (686, 555, 0, 224)
    assert report.excluded == {CENSORED: 131}
    assert report.passed
    patients = read_raw(cancer / "gbsg.csv")
    assert sum(one["status"] == 1 and one["rfstime"] <= 1096 for one in patients) == 224
    assert sum(one["status"] == 0 and one["rfstime"] < 1096 for one in patients) == 131


def test_tumour_sizes_fall_into_the_same_classes(cancer: Path, tmp_path: Path) -> None:
    curate_site("gbsg", cancer / "gbsg.csv", tmp_path)
    kept = [one for one in read_raw(cancer / "gbsg.csv") if one["status"] == 1 or one["rfstime"] >= 1096]
    expected = sorted(1 if one["size"] <= 20 else 2 if one["size"] <= 50 else 3 for one in kept)
    assert sorted(value for (value,) in read_rows(tmp_path, "size_class")) == expected


def test_the_table_is_sorted_typed_and_packed_as_it_scans_best(cancer: Path, tmp_path: Path) -> None:
    curate_site("rotterdam", cancer / "rotterdam.csv", tmp_path)
    rows = read_rows(tmp_path, "age, positive_nodes")
    assert rows == sorted(rows)
    with duckdb.connect() as database:
        columns = database.execute(f"DESCRIBE SELECT * FROM read_parquet('{tmp_path}/data.parquet')").fetchall()
        packed = database.execute(
            f"SELECT DISTINCT compression FROM parquet_metadata('{tmp_path}/data.parquet')"
        ).fetchall()
    assert [(name, kind) for name, kind, *_ in columns] == [
        ("age", "DOUBLE"),
        ("menopause", "BIGINT"),
        ("size_class", "BIGINT"),
        ("grade", "BIGINT"),
        ("positive_nodes", "BIGINT"),
        ("pgr", "DOUBLE"),
        ("er", "DOUBLE"),
        ("hormone_therapy", "BIGINT"),
        ("event", "BIGINT"),
    ]
    assert packed == [("ZSTD",)]


def test_the_german_group_shares_its_data_prepared(cancer: Path, tmp_path: Path) -> None:
    contract = load_contract(CONTRACTS / "gbsg.odcs.yaml")
    prepared = tmp_path / "prepared.csv"
    done = prepare(contract, cancer / "gbsg.csv", prepared)
    assert (done.rows_in, done.rows_out, done.suppressed, done.classes, done.smallest_class) == (686, 657, 29, 28, 5)
    assert round(done.loss, 3) == 0.042
    report = curate(contract, prepared, tmp_path / "out", prepared=True)
    assert (report.rows_in, report.rows, report.excluded, report.events) == (657, 531, {CENSORED: 126}, 212)
    assert [(check.passed, check.found) for check in report.checks if check.name == "k-anonymity"] == [(True, 0)]
    assert {age % 5 for (age,) in read_rows(tmp_path / "out", "age")} == {2.0}
    assert report.passed


@pytest.mark.parametrize(
    ("site", "rows", "events", "missing"),
    [
        ("cleveland", 303, 139, {}),
        (
            "hungarian",
            294,
            106,
            {"trestbps": 1, "chol": 23, "fbs": 8, "restecg_1": 1, "restecg_2": 1, "thalach": 1, "exang": 1},
        ),
        (
            "switzerland",
            123,
            115,
            {
                "trestbps": 2,
                "chol": 123,
                "fbs": 75,
                "restecg_1": 1,
                "restecg_2": 1,
                "thalach": 1,
                "exang": 1,
                "oldpeak": 6,
            },
        ),
        ("va", 200, 149, {"trestbps": 57, "chol": 56, "fbs": 7, "thalach": 53, "exang": 53, "oldpeak": 56}),
    ],
)
def test_heart(heart_disease: Path, tmp_path: Path, site: str, rows: int, events: int, missing: dict[str, int]) -> None:
    report = curate_site(site, heart_disease / f"processed.{site}.data", tmp_path)
    assert (report.rows_in, report.rows, report.rejected_rows, report.events) == (rows, rows, 0, events)
    assert {column.name: column.missing for column in report.columns if column.missing} == missing
    assert report.passed
    assert len(report.columns) == 14


def test_the_same_input_gives_the_same_bytes(cancer: Path, tmp_path: Path) -> None:
    first = curate_site("rotterdam", cancer / "rotterdam.csv", tmp_path / "1")
    header, *rows = (cancer / "rotterdam.csv").read_text().splitlines()
    again = curate_site("rotterdam", cancer / "rotterdam.csv", tmp_path / "2")
    shuffled = tmp_path / "rotterdam.csv"
    shuffled.write_text("\n".join([header, *reversed(rows)]) + "\n")
    other = curate_site("rotterdam", shuffled, tmp_path / "3")
    assert first == again
    assert first.parquet_sha256 == other.parquet_sha256 == sha256_file(tmp_path / "3" / "data.parquet")
    assert first.raw_sha256 != other.raw_sha256
