"""A holder's list of opt-outs at a node: applied to what is curated, and again when it changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from datalab.audit.verification import entries
from datalab.canonical import sha256_file
from datalab.errors import DatalabError
from datalab.home import Home
from federation.node.config import load_config
from federation.node.erasure import erase
from federation.node.holdings import hold_datasets, leave_out_again

CONTRACT = Path(__file__).parents[2] / "support" / "people.odcs.yaml"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    shutil.copyfile(CONTRACT, tmp_path / "people.odcs.yaml")
    people = [f"p-{number},{number / 10},{number % 2}" for number in range(60)]
    (tmp_path / "raw.csv").write_text("person,x,event\n" + "\n".join(people) + "\n", encoding="utf-8")
    (tmp_path / "node.toml").write_text(
        'opt_outs = "opt-outs.txt"\n[[datasets]]\nid = "people"\nsource = "raw.csv"\ncontract = "people.odcs.yaml"\n',
        encoding="utf-8",
    )
    return Home(tmp_path)


def people_in(home: Home) -> set[str]:
    table = home.path / "curated" / "people" / "v1" / "data.parquet"
    return {row[0] for row in duckdb.execute(f"SELECT person FROM '{table}'").fetchall()}


def test_the_list_holds_for_every_curation_and_for_what_was_curated_before(home: Home) -> None:
    config = load_config(home.path)
    with pytest.raises(DatalabError, match="list of opt-outs"):  # without it nobody knows whom to leave out
        hold_datasets(home, config)
    (home.path / "opt-outs.txt").write_text("p-3\n\n  p-5 \nnobody\n", encoding="utf-8")
    held = hold_datasets(home, config)
    assert (held[0].rows, people_in(home) & {"p-3", "p-5", "p-7"}) == (58, {"p-7"})
    assert leave_out_again(home, config, held) is False

    (home.path / "opt-outs.txt").write_text("p-3\np-5\np-7\n", encoding="utf-8")
    told = json.loads(held[0].report_json)
    assert leave_out_again(home, config, held) is True
    assert (held[0].rows, "p-7" in people_in(home)) == (57, False)
    after = json.loads(held[0].report_json)
    assert after["replaces"] == [told["parquet_sha256"]]
    assert after["parquet_sha256"] == sha256_file(Path(held[0].folder) / "data.parquet")
    assert (after["rows"], after["rows_in"]) == (told["rows"], told["rows_in"])  # a difference would be somebody
    (entry,) = entries(home.path / "audit.jsonl")
    assert (entry.event, entry.details["before"]) == ("people left out", told["parquet_sha256"])  # type: ignore[union-attr]

    report, table = (Path(held[0].folder) / name for name in ("report.json", "data.parquet"))
    state = (report.read_bytes(), table.read_bytes())
    assert hold_datasets(home, config)[0].rows == 57  # as at the next start
    assert (report.read_bytes(), table.read_bytes()) == state


def test_who_has_a_keyed_pseudonym_is_left_out_by_the_name_that_the_holder_knows(home: Home) -> None:
    path = home.path / "people.odcs.yaml"
    keyed = "        customProperties:\n          - {property: datalab.deidentify, value: pseudonym}\n"
    place = "      - name: person\n        logicalType: string\n        required: true\n"
    assert place in path.read_text()
    path.write_text(path.read_text().replace(place, place + keyed, 1))
    config = load_config(home.path)
    (home.path / "opt-outs.txt").write_text("p-3\n", encoding="utf-8")
    held = hold_datasets(home, config)
    assert "p-7" not in people_in(home)
    assert held[0].rows == 59  # of what is curated
    (home.path / "opt-outs.txt").write_text("p-3\np-7\n", encoding="utf-8")
    assert leave_out_again(home, config, held) is True
    assert held[0].rows == 58  # of what was
    assert erase(home, "p-9", reason="GDPR Art. 17").cleared == ("people version 1",)
    assert len(people_in(home)) == 57
