from __future__ import annotations

from pathlib import Path

from catalog.code_systems import code_systems
from datalab.home import Home
from tests.integration.curation.test_sites import contract
from tests.unit.catalog.examples import SHA, report


def test_the_contract_that_a_version_was_curated_by_says_whose_codes_they_are(tmp_path: Path) -> None:
    home = Home(tmp_path / "lab")
    kept = home.folder("contracts", "used")
    contract(tmp_path, "lyon").rename(kept / f"{SHA}.odcs.yaml")
    assert code_systems(home, report()) == {"finding": "http://snomed.info/sct"}


def test_of_a_version_that_was_curated_elsewhere_nothing_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path / "lab")
    assert code_systems(home, report()) == {}
    (home.folder("contracts", "used") / f"{'cd' * 32}.odcs.yaml").write_text("no: contract", encoding="utf-8")
    assert code_systems(home, report(contract_digest="cd" * 32)) == {}
