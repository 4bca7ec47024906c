"""Which contract a dataset is curated by: the one it is registered with, the lab's own first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.records import Dataset
from datalab.curation.contract import load_contract
from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from pipelines.sources import BUILT_IN, SUFFIX, find_contract

GBSG = BUILT_IN / f"gbsg{SUFFIX}"


def dataset(contract: str, version: str) -> Dataset:
    return Dataset(
        id="breast-cancer",
        title="Breast cancer trial",
        holder="gbsg",
        holder_name="German Breast Cancer Study Group",
        country="DE",
        steward="Trial office",
        theme="HEAL",
        access="restricted",
        data_class="anonymous",
        kept_at="lab",
        contract_id=contract,
        contract_version=version,
        created=datetime.now(UTC),
        updated=datetime.now(UTC),
        revision=1,
    )


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob(f"*{SUFFIX}")), ids=lambda path: path.name)
def test_every_contract_that_comes_with_datalab_is_found(path: Path, tmp_path: Path) -> None:
    contract = load_contract(path)
    assert find_contract(Home(tmp_path), dataset(contract.id, contract.version)) == path


def test_a_contract_in_the_home_needs_no_python_and_comes_first(tmp_path: Path) -> None:
    own = Home(tmp_path).folder("contracts") / f"ours{SUFFIX}"
    own.write_bytes(GBSG.read_bytes())
    contract = load_contract(GBSG)
    assert find_contract(Home(tmp_path), dataset(contract.id, contract.version)) == own


def test_an_unknown_contract_or_version_says_where_to_put_it(tmp_path: Path) -> None:
    contract = load_contract(GBSG)
    with pytest.raises(NotFoundError, match=rf"no contract {contract.id} in version 99.*{tmp_path}/contracts"):
        find_contract(Home(tmp_path), dataset(contract.id, "99"))


@pytest.mark.parametrize("text", ["id: [", "just a text", "id: without-a-version"])
def test_a_broken_contract_in_the_home_is_named(tmp_path: Path, text: str) -> None:
    (Home(tmp_path).folder("contracts") / f"broken{SUFFIX}").write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=f"broken{SUFFIX}|Open Data Contract Standard"):
        find_contract(Home(tmp_path), dataset("cancer-gbsg", "1.0.0"))
