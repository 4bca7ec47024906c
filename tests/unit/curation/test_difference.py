"""A change to a contract is told with whom it breaks something for, and the version must say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from datalab.curation.commands import check, diff
from datalab.curation.contract import load_contract
from datalab.curation.difference import check_version, compare
from datalab.errors import BadInputError
from tests.unit.curation.examples import CONTRACTS, WARD, write_contract


def contract(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    (folder / name).mkdir()
    return write_contract(folder / name, *changes)


def test_a_contract_is_no_other_than_itself(tmp_path: Path) -> None:
    loaded = load_contract(contract(tmp_path, "one"))
    assert compare(loaded, loaded) == ()
    check_version(loaded, loaded, ())


@pytest.mark.parametrize(
    ("old", "new", "where", "breaks"),
    [
        ("transformLogic: weight", "transformLogic: weight * 2", "harmonised.weight", "consumers"),
        ("{name: weight, logicalType: number, t", "{name: mass, logicalType: number, t", "harmonised.weight",
         "consumers"),
        ("{name: weight, logicalType: number, t", "{name: weight, logicalType: integer, t", "harmonised.weight",
         "consumers"),
        ("logicalType: number, required: true, description: Age.", "logicalType: number, description: Age.",
         "harmonised.age", "consumers"),
        ("enum: [{value: 0}, {value: 1}]\n        transformLogic: CASE", "transformLogic: CASE", "harmonised.female",
         "consumers"),
        ("expression: ill = 9", "expression: ill = 1", "harmonised", "consumers"),
        ("        customProperties: [{property: datalab.role, value: outcome}]\n", "", "harmonised", "consumers"),
        ("description: Age.", "description: In years.", "harmonised.age", ""),
        ("value: [age]", "value: [weight]", "harmonised", ""),
        ("maximum: 120", "maximum: 110", "export.age", "holders"),
        ("maximum: 120", "maximum: 130", "export.age", ""),
        ("[{value: f}, {value: m}]", "[{value: f}]", "export.sex", "holders"),
        ("[{value: f}, {value: m}]", "[{value: f}, {value: m}, {value: x}]", "export.sex", ""),
        ("physicalName: Sex", "physicalName: Gender", "export.sex", "holders"),
        ("value: {band: 10}", "value: {band: 5}", "export.age", "holders"),
        ("value: {band: 10}", "value: {band: 20}", "export.age", ""),
        ("value: {band: 10}", "value: {band: 15}", "export.age", "holders"),
        ("value: drop", "value: keep", "export.number", "holders"),
        ("value: {k: 3,", "value: {k: 2,", "export", "holders"),
        ("value: {k: 3,", "value: {k: 4,", "export", ""),
        ("[age, sex]}", "[age]}", "export", "holders"),
        ('["?"]', '["?", "-"]', "export", "holders"),
        ("Threshold, value: 3", "Threshold, value: 2", "contract", "holders"),
        ("Threshold, value: 3", "Threshold, value: 5", "contract", ""),
        ("[{property: datalab.unit, value: kg}]", "[{property: datalab.unit, value: g}]", "export.weight", "holders"),
        ("name: A ward", "name: One ward", "contract", ""),
        ("id: ward", "id: yard", "contract", "consumers"),
    ],
)  # fmt: skip
def test_a_change_is_told_with_whom_it_breaks_something_for(
    tmp_path: Path, old: str, new: str, where: str, breaks: str
) -> None:
    before = load_contract(contract(tmp_path, "old"))
    minor = load_contract(contract(tmp_path, "minor", (old, new), ("version: 1.0.0", "version: 1.1.0")))
    major = load_contract(contract(tmp_path, "major", (old, new), ("version: 1.0.0", "version: 2.0.0")))
    changes = compare(before, minor)
    assert (changes[0].where, changes[0].breaks) == (where, breaks)
    check_version(before, major, changes)
    if breaks:
        with pytest.raises(BadInputError, match="needs a new major version"):
            check_version(before, minor, changes)
    else:
        check_version(before, minor, changes)


def test_a_change_without_a_new_version_is_refused(tmp_path: Path) -> None:
    paths = [contract(tmp_path, "old"), contract(tmp_path, "new", ("maximum: 120", "maximum: 130"))]
    done = CliRunner().invoke(diff, [str(path) for path in paths])
    assert done.output == "compatible        export.age: It may now be above 120.\n"
    assert isinstance(done.exception, BadInputError)
    assert done.exception.next_step == "Set the version to 1.1.0."


def test_every_shipped_contract_passes_the_check() -> None:
    paths = sorted(CONTRACTS.glob("*.odcs.yaml"))
    for path in paths:
        done = CliRunner().invoke(check, [str(path)], catch_exceptions=False)
        assert "is a contract that can be carried out" in " ".join(done.output.split())
    assert len(paths) >= 6


def test_a_version_that_is_no_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ward.odcs.yaml"
    path.write_text(WARD.replace("version: 1.0.0", "version: latest"))
    before = load_contract(contract(tmp_path, "old"))
    with pytest.raises(BadInputError, match="not of the form"):
        check_version(before, load_contract(path), compare(before, load_contract(path)))
