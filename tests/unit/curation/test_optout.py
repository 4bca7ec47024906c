from __future__ import annotations

from pathlib import Path

import yaml

from datalab.curation import engine
from datalab.curation.contract import load_contract
from datalab.curation.optout import OptOuts, mark_of

TOY = Path(__file__).parents[2] / "support" / "toy.odcs.yaml"


def test_people_who_have_opted_out_are_left_out_of_a_curation_and_counted(tmp_path: Path) -> None:
    contract = yaml.safe_load(TOY.read_text())
    person = {"name": "person", "logicalType": "string", "required": True}
    contract["schema"][0]["properties"].append(person)
    role = {"property": "datalab.role", "value": "pseudonym"}
    contract["schema"][1]["properties"].append({**person, "transformLogic": "person", "customProperties": [role]})
    path = tmp_path / "people.odcs.yaml"
    path.write_text(yaml.safe_dump(contract))
    raw = tmp_path / "people.csv"
    raw.write_text("x,event,person\n" + "".join(f"{n},{n % 2},p{n}\n" for n in range(60)))
    read = load_contract(path)
    key = b"k" * 32
    gone = OptOuts(key, "ward", frozenset({mark_of(key, "ward", "p7"), mark_of(key, "other", "p8")}))
    work = tmp_path / "work"
    work.mkdir()
    validated = engine.validate(read, raw, work)
    made = engine.harmonise(read, work, opt_outs=gone)
    assert (made.rows, made.excluded) == (59, {"opted out": 1})
    report = engine.compile_report(read, validated, (), made, engine.profile(read, work))
    assert (report.rows_in, report.pseudonym, report.outcome) == (60, "person", "event")
    assert report.public().excluded == {"opted out": None}
    x, event, people = report.columns
    assert sum(cell.count or 0 for cell in x.cells) == 59
    assert [(cell.value, cell.count) for cell in event.cells] == [("0", 30), ("1", 29)]
    assert people.cells == ()
    assert b"p7" not in (work / engine.DATA).read_bytes()
    everybody = engine.harmonise(read, work)
    assert everybody.rows == 60
    assert "k" * 32 not in repr(gone)
