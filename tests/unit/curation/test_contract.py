"""Reading contracts: the standard's schema first, then what Datalab adds; errors name file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.curation.contract import load_contract
from datalab.errors import BadInputError, NotFoundError
from tests.unit.curation.examples import CONTRACTS, WARD, write_contract

STUDIES = {"cancer": ("rotterdam", "gbsg"), "heart": ("cleveland", "hungarian", "switzerland", "va")}


def test_a_contract_says_what_comes_in_and_what_goes_out(tmp_path: Path) -> None:
    contract = load_contract(write_contract(tmp_path))
    number, age, *_ = contract.export.columns
    assert (contract.id, contract.version, contract.disclosure_threshold) == ("ward", "1.0.0", 3)
    assert (number.header, number.drop, age.band, age.unit) == ("Patient number", True, 10, "a")
    assert (contract.export.k, contract.export.quasi_identifiers, contract.export.missing) == (
        3,
        ("age", "sex"),
        ("?",),
    )
    assert contract.harmonised.outcome == "ill"
    assert contract.harmonised.order == ("age", "female", "weight", "ill")
    assert contract.harmonised.exclusions[0].name == "not known"


def test_its_digest_is_that_of_the_file(tmp_path: Path) -> None:
    first = load_contract(write_contract(tmp_path)).digest
    second = load_contract(write_contract(tmp_path, ("name: A ward", "name: The ward"))).digest
    assert len(first) == 64
    assert first != second


@pytest.mark.parametrize("study", STUDIES)
def test_all_sites_of_a_study_have_the_same_harmonised_table(study: str) -> None:
    tables = [
        [(column.name, column.unit, column.description, column.domain) for column in contract.harmonised.columns]
        for contract in (load_contract(CONTRACTS / f"{site}.odcs.yaml") for site in STUDIES[study])
    ]
    assert all(table == tables[0] for table in tables)


def test_what_happened_after_surgery_never_reaches_the_predictors() -> None:
    later = {"rtime", "recur", "dtime", "death", "rfstime", "status", "year", "chemo", "pid"}
    for site in STUDIES["cancer"]:
        harmonised = load_contract(CONTRACTS / f"{site}.odcs.yaml").harmonised
        for column in harmonised.columns:
            assert column.name not in later
            assert column.name == "event" or not column.expression.columns & later


def line_of(piece: str, text: str) -> int:
    return text[: text.index(piece)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: DataContract", "kind: Banana", "breaks the Open Data Contract Standard"),
        ("    properties:\n      - name: number", "    properteis:\n      - name: number", "breaks the Open Data"),
        ("datalab.missing", "datalab.mising", "is not a property that Datalab knows here"),
        ('value: ["?"]', "value: 5", "datalab.missing is not as it should be"),
        ("{k: 3, quasiIdentifiers: [age, sex]}", "{k: 3, quasiIdentifiers: [age, name]}", "name cannot be a quasi-id"),
        ("quasiIdentifiers: [age, sex]", "quasiIdentifiers: [number]", "number cannot be a quasi-identifier"),
        ("value: [age]}", "value: [height]}", "height cannot be a column to sort by"),
        ("transformLogic: weight", "transformLogic: number", "reads number, which is not a column"),
        ("transformLogic: weight", "transformLogic: getenv('HOME')", "uses the function getenv"),
        (", transformLogic: weight", "", "has no transformLogic"),
        ("expression: ill = 9", "expression: ill = (SELECT 9)", "uses subquery"),
        (
            "logicalType: string, required: true, enum: [{value: f}, {value: m}]",
            "logicalType: boolean",
            "no type that Datalab curates",
        ),
        ("{minimum: 1, maximum: 500}", "{multipleOf: 5}", "multipleOf of weight is not one that Datalab checks"),
        ("enum: [{value: f}, {value: m}]", "enum: [{value: 1}]", "A code of sex is not of its type"),
        ("physicalName: Sex", "physicalName: Age", "Two columns have the physicalName Age"),
        ("{name: sex, ", "{name: Sex!, ", "Sex! is not a column name"),
        ("{name: sex, ", "{name: sex, unique: true, ", "does not carry out unique"),
        ("name: harmonised", "name: result", "exactly two schema objects"),
        ("band: 10", "band: 1", "datalab.deidentify"),
        ("{minimum: 0, maximum: 120}", "{maximum: 120}", "cannot be prepared in bands"),
        ("name: A ward", "name: A ward\nname: Another", "The key name stands twice"),
        ("kind: DataContract", "kind: [", "not valid YAML"),
        ("name: A ward", "name: &a [*a]", "uses a YAML alias"),
        ("apiVersion: v3.2.0", "{a: b}: c", "key that is not text"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadInputError) as refused:
        load_contract(write_contract(tmp_path, (old, new)))
    assert message in refused.value.what
    assert refused.value.where is not None
    assert refused.value.where.startswith("ward.odcs.yaml, line ")


def test_the_line_is_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as refused:
        load_contract(write_contract(tmp_path, ("transformLogic: weight", "transformLogic: getenv('HOME')")))
    assert refused.value.where == f"ward.odcs.yaml, line {line_of('transformLogic: weight', WARD)}, property weight"


def test_a_contract_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no data contract"):
        load_contract(tmp_path / "none.odcs.yaml")


def test_each_custom_property_is_documented() -> None:
    from datalab.curation import contract, extensions

    forms: list[type[extensions.Extensions]] = [extensions.OfContract, extensions.OfExport]
    forms += [extensions.OfExportColumn, extensions.OfHarmonised, extensions.OfHarmonisedColumn]
    for form in forms:
        for field in form.model_fields.values():
            assert f"``datalab.{field.alias}``" in (contract.__doc__ or "")
