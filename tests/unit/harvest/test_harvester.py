"""Harvests over HTTP, of a catalogue that changes: repeatable, with removals, and never more of them than is right."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from catalog.errors import ConflictError
from catalog.harvest.fetch import Document
from catalog.harvest.harvester import Harvester
from catalog.harvest.records import Harvest, RemoteEntry, Source, SourceDraft
from catalog.replay import encode, plain_changes, replay
from catalog.search.index import SearchIndex
from catalog.search.model import RemoteHit, SearchQuery
from catalog.store import Committed, Store
from datalab.errors import NotFoundError, RefusedError
from datalab.settings import Harvesting
from tests.unit.harvest.catalogues import PREFIXES, Catalogue, dataset, served

HERE = Harvesting(loopback=True)


@pytest.fixture
def portal() -> Iterator[Catalogue]:
    with served() as catalogue:
        yield catalogue


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "records.duckdb")) as opened:
        yield opened


@pytest.fixture
def harvester(store: Store, portal: Catalogue) -> Iterator[Harvester]:
    opened = Harvester(store, HERE)
    address = f"{portal.url}/catalogue.ttl"
    opened.add(SourceDraft(id="portal", name="National portal", address=address, country="NL"), "olga")
    yield opened
    opened.close()


def harvest(harvester: Harvester, *, allow_removals: bool = False) -> Harvest:
    last = harvester.harvest("portal", "olga", allow_removals=allow_removals).last
    assert last is not None
    return last


def counts(done: Harvest) -> tuple[str, int, int, int, int]:
    return done.outcome, done.added, done.updated, done.withdrawn, done.unchanged


def entries(store: Store) -> dict[str, RemoteEntry]:
    found = [RemoteEntry.model_validate_json(row[0]) for row in store.rows("SELECT record FROM remotes")]
    return {one.described.uri.rpartition("/")[2]: one for one in found}


def test_a_catalogue_is_taken_over_and_again_only_where_it_has_changed(
    harvester: Harvester, portal: Catalogue, store: Store
) -> None:
    portal.say(1, 2, 3)
    assert counts(harvest(harvester)) == ("changed", 3, 0, 0, 0)
    first = entries(store)
    assert (first["1"].source_name, first["1"].country, first["1"].described.publisher) == (
        "National portal",
        "NL",
        "Office",
    )
    assert counts(harvest(harvester)) == ("unchanged", 0, 0, 0, 3)
    assert portal.asked[-1] == ("/catalogue.ttl", 304)
    assert entries(store) == first
    portal.say(1, 2, 4, d2="Another title")
    assert counts(harvest(harvester)) == ("changed", 1, 1, 1, 1)
    now = entries(store)
    assert now["1"] == first["1"]
    assert now["2"].described.title == "Another title"
    assert now["2"].found == first["2"].found < now["2"].changed
    assert now["3"].withdrawn is not None
    assert harvester.source("portal").entries == 3
    portal.say(1, 2, 3, 4, d2="Another title")
    assert counts(harvest(harvester)) == ("changed", 1, 0, 0, 3)
    assert entries(store)["3"].withdrawn is None
    events = store.find_events(subject="source/portal", limit=10)
    assert [one.action for one in reversed(events)] == ["source.added", *["source.harvested"] * 4]
    assert (events[1].details["withdrawn"], events[1].actor) == (1, "olga")
    assert store.verify_events().broken_at is None


def test_pages_are_followed_and_only_those_read_that_have_changed(
    harvester: Harvester, portal: Catalogue, store: Store
) -> None:
    portal.say(1, 2, more=portal.following("/two", total=4))
    portal.say(3, path="/two", more=portal.following("/three", total=4))
    portal.say(4, path="/three")
    assert counts(harvest(harvester)) == ("changed", 4, 0, 0, 0)
    portal.asked.clear()
    portal.say(3, path="/two", more=portal.following("/three", total=4), d3="New title")
    assert counts(harvest(harvester)) == ("changed", 0, 1, 0, 3)
    assert portal.asked == [("/catalogue.ttl", 304), ("/two", 200), ("/three", 304)]
    assert entries(store)["3"].described.title == "New title"


def test_an_answer_that_is_empty_or_torn_removes_nothing(harvester: Harvester, portal: Catalogue, store: Store) -> None:
    portal.say(*range(20))
    harvest(harvester)
    before = entries(store)
    portal.say()
    done = harvest(harvester)
    assert (done.outcome, done.withdrawn) == ("refused", 0)
    assert "20 of 20 entries are gone" in done.message
    portal.say(*range(10))
    assert harvest(harvester).outcome == "refused"
    portal.pages["/catalogue.ttl"] = ("text/turtle", f"{PREFIXES}{dataset(1)}<https://x")
    assert harvest(harvester).outcome == "failed"
    portal.pages["/catalogue.ttl"] = ("text/html", "<html>Under maintenance</html>")
    assert "not DCAT-AP" in harvest(harvester).message
    del portal.pages["/catalogue.ttl"]
    assert "status 404" in harvest(harvester).message
    assert entries(store) == before
    assert [one.action for one in store.find_events(action="source.", limit=5)] == [
        *["source.failed"] * 3,
        *["source.refused"] * 2,
    ]
    portal.say(*range(10))
    assert counts(harvest(harvester, allow_removals=True)) == ("changed", 0, 0, 10, 10)
    portal.say(*range(6))  # a few may go at once
    assert counts(harvest(harvester)) == ("changed", 0, 0, 4, 6)


def test_nothing_is_withdrawn_where_the_catalogue_says_that_it_has_more(
    harvester: Harvester, portal: Catalogue
) -> None:
    portal.say(1, 2, 3)
    harvest(harvester)
    portal.say(1, 2, more=f"<{portal.url}/x> <http://www.w3.org/ns/hydra/core#totalItems> 3 .")
    done = harvest(harvester)
    assert counts(done) == ("unchanged", 0, 0, 0, 3)
    assert "says that it has 3 datasets, and 2 came: nothing was withdrawn" in done.message
    portal.say(1, 2, more=f"<{portal.url}/x> <http://www.w3.org/ns/hydra/core#totalItems> 2 .")
    assert counts(harvest(harvester)) == ("changed", 0, 0, 1, 2)


def test_a_dataset_that_can_no_longer_be_read_is_named_and_not_withdrawn(
    harvester: Harvester, portal: Catalogue
) -> None:
    portal.say(1, 2)
    harvest(harvester)
    portal.say(1, more="<https://portal.example/dataset/2> a dcat:Dataset .")
    done = harvest(harvester)
    assert counts(done) == ("unchanged", 0, 0, 0, 2)
    assert [one.what for one in done.problems] == ["It has no title (dct:title)."]
    assert harvest(harvester).problem_count == 1  # a page that is as it was still has its problem


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("http://169.254.169.254/latest/meta-data/", "https only"),
        ("https://169.254.169.254/latest/meta-data/", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("file:///etc/passwd", "https only|names a host"),
        ("https://user:pass@portal.example/", "neither user nor password"),
    ],
)
def test_a_redirect_leads_nowhere_that_an_address_would_not(
    harvester: Harvester, portal: Catalogue, to: str, said: str
) -> None:
    portal.redirects["/catalogue.ttl"] = to
    done = harvest(harvester)
    assert done.outcome == "failed"
    assert any(one in done.message for one in said.split("|")), done.message


def test_redirects_here_are_followed_a_few_times(harvester: Harvester, portal: Catalogue) -> None:
    portal.say(1, path="/moved.ttl")
    portal.redirects["/catalogue.ttl"] = "/moved.ttl"
    assert counts(harvest(harvester)) == ("changed", 1, 0, 0, 0)
    portal.redirects["/moved.ttl"] = "/catalogue.ttl"
    assert "from one address to the next" in harvest(harvester).message


def test_pages_in_a_circle_or_elsewhere_end_a_harvest(harvester: Harvester, portal: Catalogue) -> None:
    portal.say(1, more=portal.following("/two"))
    portal.say(2, path="/two", more=portal.following("/catalogue.ttl"))
    assert "in a circle" in harvest(harvester).message
    portal.say(1, more="<https://portal.example/1> hydra:next <https://elsewhere.example/2> .")
    assert "at another host" in harvest(harvester).message


def test_addresses_are_refused_when_they_are_put_on_record(store: Store, portal: Catalogue) -> None:
    closed = Harvester(store, Harvesting())
    with pytest.raises(RefusedError, match="https only"):
        closed.add(SourceDraft(id="x", name="X", address=portal.url, country="NL"), "olga")
    with pytest.raises(ValueError, match="neither user nor password"):
        SourceDraft(id="x", name="X", address="https://u:p@x.example/", country="NL")
    with pytest.raises(ValueError, match="this lab itself"):
        SourceDraft(id="here", name="X", country="NL")
    closed.close()


def test_a_file_is_harvested_like_an_address(store: Store) -> None:
    harvester = Harvester(store, Harvesting())
    harvester.add(SourceDraft(id="file", name="From a file", country="FR"), "olga")
    with pytest.raises(NotFoundError, match="no address"):
        harvester.harvest("file", "olga")
    document = Document("https://file.invalid/document", "turtle", f"{PREFIXES}{dataset(1)}".encode())
    first, again = (harvester.harvest("file", "olga", document=document).last for _ in range(2))
    assert first is not None
    assert again is not None
    assert (first.outcome, again.outcome) == ("changed", "unchanged")
    with pytest.raises(ConflictError, match="there already"):
        harvester.add(SourceDraft(id="file", name="Again", country="FR"), "olga")
    harvester.close()


def test_what_is_due_is_harvested_by_itself(harvester: Harvester, store: Store, portal: Catalogue) -> None:
    portal.say(1)
    harvester.add(
        SourceDraft(id="daily", name="Daily", address=f"{portal.url}/catalogue.ttl", country="NL", every_hours=24),
        "olga",
    )
    harvester.due()
    harvester.due()
    assert portal.asked == [("/catalogue.ttl", 200)]
    assert [one.actor for one in store.find_events(action="source.harvested", limit=5)] == ["harvest"]


def test_entries_are_searched_beside_the_labs_own_and_go_with_their_catalogue(
    harvester: Harvester, portal: Catalogue, store: Store, tmp_path: Path
) -> None:
    index = SearchIndex(tmp_path / "search", store)

    def found(text: str = "", **filters: tuple[str, ...]) -> list[str]:
        asked = SearchQuery.model_validate({"text": text, "filters": filters})
        page = index.search(asked, lambda _: True)
        return [hit.remote.described.title for hit in page.hits if isinstance(hit, RemoteHit)]

    portal.say(1, 2, d1="Cancer registry")
    harvest(harvester)
    assert found("registri") == ["Cancer registry"]
    assert found(source=("portal",), country=("NL",)) == ["Cancer registry", "Dataset 2"]
    assert found(source=("here",)) == []
    portal.say(2)
    harvest(harvester)
    assert found() == ["Dataset 2"]
    index.close()
    store._watchers.clear()
    portal.say(2, 3)
    harvest(harvester)
    index = SearchIndex(tmp_path / "search", store)  # takes up what has happened meanwhile
    assert found() == ["Dataset 2", "Dataset 3"]
    index.close()
    store._watchers.clear()
    shutil.rmtree(tmp_path / "search")
    index = SearchIndex(tmp_path / "search", store)
    assert found() == ["Dataset 2", "Dataset 3"]
    harvester.remove("portal", "olga")
    assert found() == []
    with pytest.raises(NotFoundError, match="no catalogue portal"):
        harvester.source("portal")
    index.close()


def test_a_harvest_that_was_shipped_is_made_again(
    harvester: Harvester, portal: Catalogue, store: Store, tmp_path: Path
) -> None:
    store.rewrite(tmp_path / "copy.duckdb")
    made: list[Committed] = []
    store.follow(made.append)
    portal.say(1, 2)
    harvest(harvester)
    portal.say(1, 2, d2="Other")
    harvest(harvester)
    changes = tmp_path / "changes.jsonl"
    changes.write_text("".join(f"{encode(one)}\n" for one in made))
    assert replay(tmp_path / "copy.duckdb", changes, set(), plain_changes(changes)) == 2
    copy = Store(tmp_path / "copy.duckdb")
    assert entries(copy) == entries(store)
    assert copy.get(Source, "sources", "portal") == store.get(Source, "sources", "portal")
    copy.close()
