"""What leaves a holder: pseudonyms that only its key can repeat, dates moved by person, classes of enough people."""

from __future__ import annotations

import csv
import random
import stat
from collections import defaultdict
from datetime import date
from itertools import product
from pathlib import Path

import pytest

from datalab.curation.contract import Contract, load_contract
from datalab.curation.deidentify import prepare
from datalab.curation.engine import PseudonymKey, curate, validate
from datalab.curation.key import load_key, make_key
from datalab.errors import BadInputError

CLINIC = """\
apiVersion: v3.2.0
kind: DataContract
id: clinic
name: A clinic
version: 1.0.0
status: active
schema:
  - name: export
    customProperties:
      - property: datalab.kAnonymity
        value: {k: 3, quasiIdentifiers: [age, region, illness], lossLimit: 0.2}
    properties:
      - name: patient
        logicalType: string
        required: true
        customProperties: [{property: datalab.deidentify, value: pseudonym}]
      - name: age
        logicalType: integer
        required: true
        logicalTypeOptions: {minimum: 0, maximum: 120}
        customProperties: [{property: datalab.deidentify, value: {band: [5, 10, 20]}}]
      - name: region
        logicalType: string
        required: true
        customProperties: [{property: datalab.deidentify, value: {nuts: [3, 1, 0]}}]
      - name: illness
        logicalType: string
        required: true
        customProperties: [{property: datalab.deidentify, value: {icd10: [category, chapter]}}]
      - name: admitted
        logicalType: date
        required: true
        logicalTypeOptions: {minimum: "2020-01-01", maximum: "2024-12-31"}
        customProperties: [{property: datalab.deidentify, value: {shiftDays: 40}}]
      - name: discharged
        logicalType: date
        customProperties: [{property: datalab.deidentify, value: {shiftDays: 40}}]
      - {name: severity, logicalType: integer, required: true, enum: [{value: 1}, {value: 2}, {value: 3}]}
      - name: ward
        logicalType: string
        enum: [{value: ICU}, {value: HDU}, {value: day}]
        customProperties: [{property: datalab.deidentify, value: {map: {ICU: acute, HDU: acute, day: other}}}]
      - name: letter
        logicalType: string
        customProperties: [{property: datalab.deidentify, value: freeText}]
      - {name: note, logicalType: string}
  - name: harmonised
    customProperties:
      - {property: datalab.sortBy, value: [age]}
    properties:
      - name: patient
        logicalType: string
        required: true
        transformLogic: patient
        customProperties: [{property: datalab.role, value: pseudonym}]
      - {name: age, logicalType: number, transformLogic: age}
      - {name: region, logicalType: string, transformLogic: region}
      - {name: illness, logicalType: string, transformLogic: illness}
      - {name: days, logicalType: integer, transformLogic: discharged - admitted}
      - {name: since, logicalType: integer, transformLogic: admitted - CAST('2000-01-01' AS DATE)}
      - {name: severity, logicalType: integer, transformLogic: severity}
      - {name: ward, logicalType: string, transformLogic: ward}
      - {name: note, logicalType: string, transformLogic: note}
"""
KEY = PseudonymKey(b"k" * 32)
COLUMNS = ("patient", "age", "region", "illness", "admitted", "discharged", "severity", "ward", "letter", "note")
Row = dict[str, str]


def clinic(folder: Path, *changes: tuple[str, str]) -> Contract:
    text = CLINIC
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "clinic.odcs.yaml"
    path.write_text(text, encoding="utf-8")
    return load_contract(path)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 visits of 60 patients."""
    chance = random.Random(5)
    path = tmp_path_factory.mktemp("clinic") / "visits.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(60):
            person = [f"P{number}", chance.randint(30, 69), chance.choice(["DE111", "DE112", "DE212", "FRK26"])]
            for visit in range(2):
                writer.writerow([
                    *person, chance.choice(["I21.0", "I25.9", "J45.0"]), f"2023-0{visit + 1}-1{number % 10}",
                    f"2023-0{visit + 2}-0{1 + number % 9}", chance.randint(1, 3), chance.choice(["ICU", "HDU", "day"]),
                    "Mme Dupont came back" if number == 7 else "no change",
                    "call +49 6221 123456" if number == 9 else "stable",
                ])  # fmt: skip
    return path


def rows_of(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_is_prepared_at_the_holder_is_what_it_would_curate_itself(raw: Path, tmp_path: Path) -> None:
    contract = clinic(tmp_path)
    report = prepare(contract, raw, tmp_path / "sent.csv", key=KEY)
    before, after = rows_of(raw), rows_of(tmp_path / "sent.csv")
    assert list(after[0]) == [name for name in before[0] if name != "letter"]
    assert (report.rows_out + report.suppressed, report.pseudonymised) == (120, 60)
    assert report.loss <= 0.2
    assert report.withheld == {"letter": {"text": 118, "title and name": 2}, "note": {"telephone": 2}}
    assert not {row["patient"] for row in before} & {row["patient"] for row in after}
    assert {row["ward"] for row in after} == {"acute", "other"}
    assert {row["note"] for row in after} <= {"", "stable"}

    people: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in after:
        people[row["age"], row["region"], row["illness"]].add(row["patient"])
    assert min(map(len, people.values())) == report.smallest_class >= 3

    lab = curate(contract, tmp_path / "sent.csv", tmp_path / "lab", prepared=True)
    site = curate(contract, raw, tmp_path / "site", key=KEY)
    assert lab.passed
    assert lab.rows == report.rows_out
    assert lab.parquet_sha256 == site.parquet_sha256
    assert site.excluded == {"too few alike": report.suppressed}


def test_all_dates_of_a_person_move_alike_and_no_further_than_the_contract_says(raw: Path, tmp_path: Path) -> None:
    contract = clinic(tmp_path, ("k: 3", "k: 2"), ("lossLimit: 0.2", "lossLimit: 1"))
    prepare(contract, raw, tmp_path / "sent.csv", key=KEY)
    name = {KEY.pseudonym("clinic", row["patient"])[0]: row["patient"] for row in rows_of(raw)}
    stays: dict[str, list[tuple[date, date]]] = defaultdict(list)
    for row in rows_of(raw):
        stays[row["patient"]].append((date.fromisoformat(row["admitted"]), date.fromisoformat(row["discharged"])))
    moved: dict[str, set[int]] = defaultdict(set)
    for row in rows_of(tmp_path / "sent.csv"):
        start, end = date.fromisoformat(row["admitted"]), date.fromisoformat(row["discharged"])
        person = name[row["patient"]]
        fits = [(start - first).days for first, last in stays[person] if last - first == end - start]
        moved[person] |= set(fits) if not moved[person] else moved[person] & set(fits)
    assert all(len(shifts) >= 1 for shifts in moved.values())
    every = {min(shifts, key=abs) for shifts in moved.values()}
    assert len(every) > 20
    assert max(map(abs, every)) <= 40


def test_the_key_makes_the_pseudonyms_and_is_told_nowhere(
    raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    contract = clinic(tmp_path)
    make_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    key = load_key(tmp_path / "key")
    assert repr(key) == "PseudonymKey(…)"
    names = []
    for one, folder in ((key, "1"), (KEY, "2")):
        report = prepare(contract, raw, tmp_path / folder / "sent.csv", key=one)
        names.append({row["patient"] for row in rows_of(tmp_path / folder / "sent.csv")})
        assert one.secret.hex() not in report.model_dump_json()
    assert not names[0] & names[1]
    secret = (tmp_path / "key").read_bytes().strip()
    for path in (path for path in tmp_path.rglob("*") if path.is_file() and path.name != "key"):
        assert secret not in path.read_bytes()
        assert key.secret not in path.read_bytes()
    assert secret.decode() not in caplog.text + "".join(capfd.readouterr())
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(BadInputError, match="Others than its owner may read the key"):
        load_key(tmp_path / "key")
    with pytest.raises(BadInputError, match="no key is given"):
        curate(contract, raw, tmp_path / "out")


def test_the_least_generalisation_that_will_do_is_taken(raw: Path, tmp_path: Path) -> None:
    """Compared with every combination of levels, tried in plain Python."""
    contract = clinic(tmp_path)
    report = prepare(contract, raw, tmp_path / "sent.csv", key=KEY)

    def at(name: str, level: int, value: str) -> str:
        if name == "age":
            return str(int(value) // (5, 10, 20)[level])
        return value[: (5, 3, 2)[level]] if name == "region" else value[: (3, 1)[level]]

    names = ("age", "region", "illness")
    found = []
    for node in product(range(3), range(3), range(2)):
        people: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for row in rows_of(raw):
            cell = tuple(at(name, level, row[name]) for name, level in zip(names, node, strict=True))
            people[cell].append(row["patient"])
        lost = sum(len(one) for one in people.values() if len(set(one)) < 3)
        if lost <= 0.2 * 120:
            found.append((sum(node), lost, node))
    height, lost, node = min(found)
    assert height > 0
    assert (report.suppressed, tuple(report.levels[name] for name in names)) == (lost, node)


def test_a_file_that_cannot_be_made_safe_is_stopped_with_its_classes(raw: Path, tmp_path: Path) -> None:
    contract = clinic(tmp_path, ("k: 3", "k: 40"), ("lossLimit: 0.2", "lossLimit: 0.01"))
    with pytest.raises(
        BadInputError, match="classes would have to be left out, more than the contract's loss limit of 1"
    ):
        prepare(contract, raw, tmp_path / "sent.csv", key=KEY)
    assert not (tmp_path / "sent.csv").exists()
    listed = rows_of(tmp_path / "sent.classes.csv")
    assert {"age", "region", "illness", "n", "people"} <= set(listed[0])
    assert stat.S_IMODE((tmp_path / "sent.classes.csv").stat().st_mode) == 0o600


def test_sensitive_values_are_neither_alike_nor_far_from_all_others(raw: Path, tmp_path: Path) -> None:
    old = "    properties:\n      - name: patient\n        logicalType: string\n        required: true\n        custom"
    rules = (
        "      - {property: datalab.lDiversity, value: {l: 3, sensitive: [severity]}}\n"
        "      - {property: datalab.tCloseness, value: {t: 0.15, sensitive: [severity]}}\n"
    )
    contract = clinic(tmp_path, (old, rules + old), ("lossLimit: 0.2", "lossLimit: 0.5"))
    report = prepare(contract, raw, tmp_path / "sent.csv", key=KEY)
    assert report.l == 3
    assert report.t is not None
    assert 0 < report.t <= 0.15
    checks = {
        one.name: one.passed for one in curate(contract, tmp_path / "sent.csv", tmp_path / "out", prepared=True).checks
    }
    assert [checks[name] for name in ("k-anonymity", "l-diversity", "t-closeness")] == [True, True, True]

    rows = [row for row in rows_of(tmp_path / "sent.csv") if row["severity"] != "2"]
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (tmp_path / "tampered.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = curate(contract, tmp_path / "tampered.csv", tmp_path / "out", prepared=True)
    assert {one.name for one in told.checks if not one.passed} >= {"l-diversity"}


def test_what_arrives_as_exact_as_it_was_is_rejected(raw: Path, tmp_path: Path) -> None:
    contract = clinic(tmp_path)
    prepare(contract, raw, tmp_path / "sent.csv", key=KEY)
    rows = rows_of(tmp_path / "sent.csv")
    exact = {"patient": "P1", "region": "DE11199", "age": "31", "ward": "ICU"}
    for row, (column, value) in zip(rows, exact.items(), strict=False):
        row[column] = value
    with (tmp_path / "sent.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    validate(contract, tmp_path / "sent.csv", tmp_path, prepared=True)
    found = [(one["column"], one["rule"]) for one in rows_of(tmp_path / "rejects.csv")]
    assert found == [(column, "band" if column == "age" else "type") for column in exact]
