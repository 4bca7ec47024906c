"""The curation runs of a dataset, as the lab server finds them in their folders, whoever started them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.curations import Curations
from catalog.store import Store
from datalab.curation import progress
from datalab.curation.leftovers import WORK, in_use
from datalab.errors import BadInputError
from datalab.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "lab")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "records.duckdb")
    yield opened
    opened.close()


def test_a_run_that_another_process_started_is_at_work_while_it_holds_its_folder(home: Home, store: Store) -> None:
    folder = home.folder("curation", "atlas", "run-1")
    (folder / WORK).mkdir()
    progress.tell(folder, "landing", "running")
    runs = Curations(home, store)
    with in_use(folder / WORK):
        found = runs.find("atlas", "run-1")
        assert (found.alive, found.interrupted, found.ended) == (True, False, False)
    assert runs.find("atlas", "run-1").interrupted
    progress.tell(folder, "published", "done", {"version": 3})
    found = runs.find("atlas", "run-1")
    assert (found.interrupted, found.progress.version) == (False, 3)


def test_all_runs_of_a_dataset_are_listed_the_newest_first_and_each_has_its_log(home: Home, store: Store) -> None:
    for run in ("first", "second"):
        folder = home.folder("curation", "atlas", run)
        progress.tell(folder, "landing", "running")
        progress.tell(folder, "landing", "done")
    progress.tell_failure(folder, BadInputError("The file is zip."))
    home.folder("curation", "atlas", "has-not-begun")
    home.folder("curation", "other", "run-1")
    found = Curations(home, store).of("atlas")
    assert [one.run for one in found] == ["second", "first"]
    assert [(step.stage, step.state) for step in found[0].log] == [
        ("landing", "running"), ("landing", "done"), ("landing", "failed"),
    ]  # fmt: skip
    assert Curations(home, store).of("nothing") == []
