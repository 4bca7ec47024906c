"""What a steward sees of curation runs that nobody started in a browser."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest

from catalog.client import lab_client
from catalog.records import Role
from datalab.curation import progress
from datalab.curation.leftovers import WORK, in_use
from datalab.errors import BadInputError
from datalab.home import Home
from tests.support.pages import Person, settle, signed_in
from tests.unit.catalog.examples import draft

DATASET = "runs-atlas"


@pytest.fixture(scope="module")
def runs(catalog_home: Home, people: dict[Role, Person]) -> dict[str, Path]:
    """Folders as runs leave them that a command started: one refused, one killed, one at work."""
    with lab_client(catalog_home, "operator") as client:
        client.register_dataset(draft(id=DATASET, holder=people[Role.STEWARD].organisation))
    made = {}
    for name in ("refused", "killed", "at work"):
        folder = made[name] = catalog_home.folder("curation", DATASET, str(uuid.uuid4()))
        progress.tell(folder, "landing", "running")
        progress.tell(folder, "landing", "done")
        progress.tell(folder, "validated", "running")
    progress.tell_failure(made["refused"], BadInputError("The file has no column age."))
    for name in ("killed", "at work"):
        (made[name] / WORK).mkdir()
    return made


def test_all_runs_are_listed_with_what_became_of_them(
    catalog_home: Home, people: dict[Role, Person], runs: dict[str, Path]
) -> None:
    with signed_in(catalog_home, people[Role.STEWARD]) as http, in_use(runs["at work"] / WORK):
        assert f'href="/datasets/{DATASET}/curation"' in http.get(f"/datasets/{DATASET}/versions").text
        listed = http.get(f"/datasets/{DATASET}/curation").text
        rows = {name: listed[: listed.index(folder.name)].rpartition("<tr>")[2] for name, folder in runs.items()}
        assert "✗ failed" in rows["refused"]
        assert "✗ interrupted" in rows["killed"]
        assert "… at work" in rows["at work"]
        page = http.get(f"/datasets/{DATASET}/curation/{runs['at work'].name}").text
        assert "The data is being curated" in page
        page = http.get(f"/datasets/{DATASET}/curation/{runs['refused'].name}").text
        assert "The file has no column age." in page
        log = page[page.index("What happened when") :]
        assert [log.count(word) for word in (">begun<", ">done<", ">failed<")] == [2, 1, 1]
    shutil.rmtree(runs["at work"] / WORK)


def test_neither_a_researcher_nor_another_holders_steward_sees_them(
    catalog_home: Home, people: dict[Role, Person], runs: dict[str, Path]
) -> None:
    other = settle(catalog_home, "otto", Role.STEWARD, organisation="elsewhere")
    for person in (people[Role.RESEARCHER], other):
        with signed_in(catalog_home, person) as http:
            for address in ("", *(f"/{folder.name}{end}" for folder in runs.values() for end in ("", "/rejects"))):
                assert http.get(f"/datasets/{DATASET}/curation{address}").status_code == 403
            assert f'href="/datasets/{DATASET}/curation"' not in http.get(f"/datasets/{DATASET}/versions").text
