"""``datalab node dataset add``: nothing is added that was not curated, and nothing else in node.toml changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from datalab.errors import BadInputError, DatalabError, NotFoundError
from datalab.home import Home
from federation.commands.dataset import add
from federation.node.config import load_config
from federation.node.holdings import read_holdings
from pipelines.sources import BUILT_IN
from tests.golden.curated import SOURCES

CONTRACT = BUILT_IN / "fhir-condition.odcs.yaml"
WRITTEN = "# ours\n[policy]\nminimum_rows = 7\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(WRITTEN, encoding="utf-8")
    (tmp_path / "raw.ndjson").write_bytes((SOURCES / "fhir-condition.ndjson").read_bytes())
    return tmp_path


def run(home: Path, raw: Path, contract: Path = CONTRACT, *more: str) -> str:
    arguments = ["conditions", str(raw), "--contract", str(contract), "--home", str(home), *more]
    return CliRunner().invoke(add, arguments, catch_exceptions=False).output


def test_a_file_is_curated_and_written_into_node_toml(home: Path) -> None:
    said = run(home, home / "raw.ndjson", CONTRACT, "--privacy-budget", "2.5")
    assert "Rejected: break the contract" in said
    assert "the node announces it when it starts the next time" in said
    assert (home / "node.toml").read_text().startswith(WRITTEN)
    config = load_config(home)
    [entry] = config.datasets
    assert (config.policy.minimum_rows, entry.privacy_budget, entry.source) == (7, 2.5, "raw.ndjson")
    [held] = read_holdings(Home(home), config)
    assert held.rows == 3
    with pytest.raises(BadInputError, match="is in node"):
        run(home, home / "raw.ndjson")


@pytest.mark.parametrize("what", ["no file", "elsewhere", "broken contract", "no row", "inline"])
def test_what_cannot_be_curated_is_not_added(home: Path, what: str) -> None:
    raw, contract = home / "raw.ndjson", CONTRACT
    if what == "no file":
        raw = home / "gone.ndjson"
    elif what == "elsewhere":
        raw = SOURCES / "fhir-condition.ndjson"
    elif what == "broken contract":
        contract = home / "broken.odcs.yaml"
        contract.write_text(CONTRACT.read_text().replace("datalab.path", "datalab.pfad", 1))
    elif what == "no row":
        raw.write_text("[1, 2")
    else:
        (home / "node.toml").write_text("datasets = []\n")
    before = (home / "node.toml").read_text()
    expected: type[DatalabError] = NotFoundError if what == "no file" else BadInputError
    with pytest.raises(expected):
        run(home, raw, contract)
    assert (home / "node.toml").read_text() == before
