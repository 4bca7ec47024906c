"""A person is found in a raw file by the values of its fields, where its contract is known."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import pytest

from datalab.curation.contract import Contract, load_contract
from datalab.curation.naming import names, own_contract
from datalab.home import Home
from pipelines.sources import BUILT_IN
from pipelines.succession import keep_contract

FOLDER = Path(__file__).parents[2] / "support"
SOURCES = Path(__file__).parents[2] / "golden" / "sources"


@pytest.fixture(scope="module")
def contract() -> Contract:
    """Columns person (the pseudonym), x (a number) and event (a code)."""
    return load_contract(FOLDER / "people.odcs.yaml")


def found(text: str, pseudonym: str, contract: Contract | None) -> bool:
    """Look through a file in one piece, byte by byte, and packed: the same must come of it."""
    data = text.encode()
    ways = ([data], [data[at : at + 1] for at in range(len(data))], [gzip.compress(data)])
    (result,) = {names(way.copy, pseudonym, contract) for way in ways}
    return result


HEAD = "person,x,event\n"


@pytest.mark.parametrize(
    ("rows", "there"),
    [
        ("112,1.0,0\n", False),  # a part of another pseudonym
        ("7,12.5,1\n", False),  # a part of a number
        ("7,12,1\n", False),  # a number is nobody
        ("12,1.0,0\n", True),
        (' 12 ,1.0,0\n"7",2.0,0\n', True),
        ('7,1.0,0\n"12",2.0,0', True),
        ("7,1.0\n112,3,0,9\n", True),  # a record that is not as the contract says is searched for the text
        ('7,1.0,0\n"unclosed,12,0\n', True),
    ],
)
def test_values_of_fields_are_compared(rows: str, there: object, contract: Contract) -> None:
    assert found(HEAD + rows, "12", contract) is there
    assert found(HEAD + rows, "12", None) is True
    assert found(HEAD + rows, "99", contract) is False


def test_the_columns_are_known_by_the_header_and_unknown_ones_are_free_text(contract: Contract) -> None:
    head = "note,event,x,person\n"
    assert found(head + "seen 12 times,0,1,7\n", "12", contract) is True  # by words, to be sure
    assert found(head + "room 112,0,12,7\n", "12", contract) is False
    assert found("note,event,x\nroom 112,0,1\n", "12", contract) is True  # no such column: anywhere


def test_a_file_that_cannot_be_read_may_name_anybody(contract: Contract) -> None:
    packed = gzip.compress((HEAD + "7,1,0\n" * 1000).encode())
    assert names(lambda: [packed[:-9]], "12", contract) is True
    assert names(lambda: [HEAD.encode(), b"\xff12,1,0\n"], "12", contract) is True


def test_a_contract_is_found_by_its_id_and_version(tmp_path: Path) -> None:
    (tmp_path / "broken.odcs.yaml").write_text("][")
    (tmp_path / "a.odcs.yaml").write_bytes((FOLDER / "people.odcs.yaml").read_bytes())
    assert own_contract(tmp_path, "people", "2.0.0") is None
    one = own_contract(tmp_path, "people", "1.0.0")
    assert one is not None
    assert one.harmonised.pseudonym == "person"


def test_a_contract_that_comes_with_datalab_is_found_once_the_lab_has_curated_by_it(tmp_path: Path) -> None:
    assert own_contract(tmp_path / "contracts", "omop-person", "1.0.0") is None
    keep_contract(Home(tmp_path), BUILT_IN / "omop-person.odcs.yaml")
    contract = own_contract(tmp_path / "contracts", "omop-person", "1.0.0")
    sample = (SOURCES / "omop-person.csv").read_text()
    assert contract is not None
    assert found(sample, "3", contract) is True
    assert found(sample, "850", contract) is False  # a part of a code
    assert found(sample, "850", None) is True


def test_what_is_not_csv_is_searched_for_the_text() -> None:
    contract = load_contract(BUILT_IN / "fhir-patient.odcs.yaml")
    assert found('{"resourceType": "Patient", "id": "p-112"}\n', "p-11", contract) is True


@pytest.mark.parametrize(("pseudonym", "there"), [("p-712", True), ("9000071", True), ("p-9", False), ("900", False)])
def test_parquet_that_packs_its_values_is_read(
    tmp_path: Path, contract: Contract, pseudonym: str, *, there: bool
) -> None:
    path = str(tmp_path / "raw.parquet")
    duckdb.sql("SELECT 'p-' || (700 + i % 50) AS person, 9000000 + i AS n FROM range(999) AS t(i)").write_parquet(
        path, compression="zstd"
    )
    data = Path(path).read_bytes()
    assert b"9000071" not in data
    for known in (contract, None):
        assert names(lambda: [data[:2], data[2:]], pseudonym, known) is there
    assert names(lambda: [data[:-9]], pseudonym, contract)  # damaged


@pytest.mark.parametrize("text", [r'{"id": "M\u00fcller\/1"}', r'{"id": "M\u00FCller/1"}', '{"id": "Müller/1"}'])
def test_a_person_is_found_behind_the_escapes_of_json(text: str) -> None:
    assert names(lambda: [text.encode()], "Müller/1", None)


def test_a_number_that_is_written_in_another_way_is_the_same_person(tmp_path: Path) -> None:
    path = tmp_path / "numbers.odcs.yaml"
    text = (FOLDER / "people.odcs.yaml").read_text()
    path.write_text(
        text.replace("name: person\n        logicalType: string", "name: person\n        logicalType: integer")
    )
    numbers = load_contract(path)
    assert found(f"{HEAD}0012,1.0,0\n", "12", numbers)
    assert not found(f"{HEAD}0112,1.0,0\n", "12", numbers)
