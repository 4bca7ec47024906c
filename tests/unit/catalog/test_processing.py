"""Records of processing and impact assessments: what is on record is there, what is not is a gap."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from catalog import datasets
from catalog.processing import document, markdown, text
from catalog.records import Dataset, Period
from catalog.store import Store
from tests.unit.catalog.examples import account, anonymous, described, draft

AT = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "records.duckdb")


def registered(store: Store, **changes: object) -> Dataset:
    return datasets.register(store, draft(**changes), account())


def test_what_nobody_has_said_is_a_gap(store: Store) -> None:
    bare = registered(store)
    made = document(store, [bare], "art30", AT)
    (part,) = made.parts
    assert [one.article[-3:] for one in part.entries] == [f"({letter})" for letter in "abcdefg"]
    assert {one.article for one in part.entries if one.gap} == {f"Art. 30(1)({letter})" for letter in "acef"}
    assert markdown(made).count("**GAP**") == made.gaps == 4
    for name, letter in {"contact": "a", "population": "c", "retention": "f"}.items():
        said = bare.model_copy(update={name: getattr(draft(**described()), name)})
        (part,) = document(store, [said], "art30", AT).parts
        assert {one.article[-2] for one in part.entries if one.gap} == set("acef") - {letter}


def test_an_impact_assessment_says_what_the_controller_has_to_write(store: Store) -> None:
    made = document(store, [registered(store, retention=Period(end=date(2030, 1, 1)))], "art35", AT)
    assert {one.article for one in made.parts[0].entries} >= {f"Art. 35(7)({letter})" for letter in "abcd"}
    written = markdown(made)
    assert "AES-256-GCM" in written
    assert "Removed by the lab after 2030-01-01." in written
    assert "The controller assesses likelihood and severity" in written


def test_only_personal_data_is_in_it_and_a_text_stays_on_its_line(store: Store) -> None:
    nasty = registered(store, id="nasty", population="<script>\n\n# heading | cell")
    open_data = datasets.register(store, anonymous(id="open"), account())
    written, media_type = text(store, [nasty, open_data], "art30", AT)
    assert media_type == "text/markdown"
    assert "&lt;script> # heading \\| cell" in written
    assert "`open`" not in written
    as_json, _ = text(store, [nasty, open_data], "art30.json", AT)
    assert [one["dataset"] for one in json.loads(as_json)["parts"]] == ["nasty"]
    assert "No personal data" in text(store, [open_data], "art35", AT)[0]
