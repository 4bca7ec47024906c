"""A Datalab is harvested by another one over HTTP, page by page: what the one says, the other finds."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from rdflib import RDF, Graph

from catalog.client import LabClient, lab_client
from catalog.errors import NotPermittedError
from catalog.harvest import commands
from catalog.harvest.records import Description, SourceDraft
from catalog.records import Contact, DatasetDraft, DatasetPatch, DatasetState, Role, StateChange, Translation
from catalog.search.model import RemoteHit, SearchQuery
from catalog.service import SERVICE
from catalog.standards.dcat import DCAT, HYDRA
from catalog.standards.export import PAGE
from datalab.errors import NotFoundError
from datalab.home import Home
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import home_beside
from tests.support.pages import settle, signed_in, text_of
from tests.support.waiting import wait_until
from tests.unit.catalog.examples import anonymous, at_site, described, draft
from tests.unit.harvest.catalogues import served

ROOT = Path(__file__).parents[3]
PEERS = ROOT / ".peers" / "bin" / "python"


@pytest.fixture(scope="module")
def labs(lab_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Home]]:
    """Two labs: the one that is harvested, and the one that harvests."""
    homes = tuple(home_beside(lab_home, tmp_path_factory.mktemp(name)) for name in ("portal", "reader"))
    with (homes[1].path / "datalab.toml").open("a") as file:
        file.write("[harvest]\nloopback = true\n")
    with Supervisor() as supervisor:
        for home in homes:
            supervisor.start(SERVICE.name, SERVICE.module, home)
        yield homes[0], homes[1]


def run(command: object, *arguments: str, home: Home) -> Result:
    return CliRunner().invoke(command, [*arguments, "--home", str(home.path)])  # type: ignore[arg-type]


def remotes(client: LabClient, **filters: tuple[str, ...]) -> dict[str, Description]:
    """All entries that are found, by the id that their dataset has where it comes from."""
    asked = {"filters": {"source": ("portal",), **filters}, "size": 100, "sort": "title"}
    first = client.search(SearchQuery.model_validate(asked))
    pages = [
        first,
        *(client.search(SearchQuery.model_validate({**asked, "page": n})) for n in range(2, first.pages + 1)),
    ]
    hits = [hit for page in pages for hit in page.hits if isinstance(hit, RemoteHit)]
    return {hit.remote.described.uri.rpartition("/")[2]: hit.remote.described for hit in hits}


def test_a_lab_finds_what_another_lab_says(labs: tuple[Home, Home], tmp_path: Path) -> None:
    portal, reader = labs
    url = portal.address("lab")["url"]
    german = Translation(title="Brustkrebsstudie", description="Patientinnen.", keywords=("Brustkrebs",))
    drafts: list[DatasetDraft] = [
        draft(**described(translations={"de": german})),
        at_site(id="rotterdam", **described()),
        anonymous(id="open", **{**described(), "hdab": None, "health_categories": (), "dataset_type": None}),
        *(draft(id=f"many-{n:03}", title=f"One of many {n}", description="One of many") for n in range(PAGE)),
    ]
    with lab_client(portal, "operator") as client:
        for one in drafts:
            client.register_dataset(one)
    added = run(
        commands.add, "portal", "--name", "Portal", "--address", f"{url}/api/v1/catalog/dcat-ap", "--country", "DE",
        home=reader,
    )  # fmt: skip
    assert added.exit_code == 0, added.output
    assert (
        f"{len(drafts)} new, 0 changed, 0 withdrawn, 0 as they were"
        in run(commands.harvest, "portal", home=reader).output
    )
    with lab_client(reader, "operator") as client, lab_client(portal, "operator") as source:
        found = remotes(client)
        assert set(found) == {one.id for one in drafts}
        for one in drafts:
            _same(one, found[one.id], url)
        assert set(remotes(client, access=("restricted",), theme=("HEAL",))) == set()
        assert set(remotes(client, access=("public",))) == {"open"}
        assert set(remotes(client, country=("NL",))) == set()
        again = run(commands.harvest, "portal", home=reader)
        assert again.output == f"Nothing has changed: {len(drafts)} entries are as they were.\n"
        assert client.datasets() == []  # nothing that could be run on, downloaded or exported
        moved = StateChange(state=DatasetState.WITHDRAWN, reason="Faults")
        source.move_dataset("open", moved, revision=1)
        assert "0 new, 0 changed, 1 withdrawn" in run(commands.harvest, "portal", home=reader).output
        assert "open" not in remotes(client)
        source.move_dataset("open", StateChange(state=DatasetState.PUBLISHED), revision=2)
        assert "1 new" in run(commands.harvest, "portal", home=reader).output
        (listed,) = client.sources()
        assert (listed.entries, len(listed.pages)) == (len(drafts), 2)
        (hit,) = client.search(SearchQuery(text="brustkrebsstudie")).hits
        assert isinstance(hit, RemoteHit)
        entry = client.remote_entry(hit.remote.id)
        assert (entry.source_name, entry.described.ask_at) == ("Portal", f"{url}/datasets/gbsg")
        for role in ("gateway", "pipeline", "compute"):
            with lab_client(reader, role) as other, pytest.raises(NotPermittedError, match="source:"):
                other.add_source(SourceDraft(id="other", name="Other", country="DE"))
        page = tmp_path / "page.ttl"
        page.write_text(source.export_catalogue("dcat-ap.ttl"))
    assert "portal" in run(commands.list_sources, home=reader).output
    run(commands.add, "file", "--name", "File", "--country", "DE", home=reader)
    assert f"{PAGE} new" in run(commands.harvest, "file", "--file", str(page), home=reader).output
    assert "Removed portal" in run(commands.remove, "portal", home=reader).output
    with lab_client(reader, "operator") as client:
        assert remotes(client) == {}
        with pytest.raises(NotFoundError, match="no remote entry"):
            client.remote_entry(entry.id)


def _same(one: DatasetDraft, found: Description, url: str) -> None:
    """What a lab says of a dataset comes out at another one as it went in."""
    assert (found.uri, found.ask_at) == (f"{url}/api/v1/datasets/{one.id}", f"{url}/datasets/{one.id}")
    assert (found.title, found.description, found.publisher) == (one.title, one.description, one.holder_name)
    assert (found.keywords, found.language) == (tuple(sorted(one.keywords)), "en")
    assert {code: text.title for code, text in found.translations.items()} == {
        code: text.title for code, text in one.translations.items()
    }
    assert found.themes == (one.theme,)
    assert found.access == ("public" if one.access == "public" else "non-public")
    if one.contact:
        assert found.contact == Contact(name=one.contact.name, email=one.contact.email)


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph")  # of rdflib's reader of JSON-LD
def test_a_harvester_as_ckans_gets_every_dataset_by_a_stable_name(lab_home: Home, tmp_path: Path) -> None:
    """It follows hydra:next from page to page, takes datasets by their URIs, and compares those with the last time."""
    home = home_beside(lab_home, tmp_path)
    with Supervisor() as supervisor:
        supervisor.start(SERVICE.name, SERVICE.module, home)
        url = home.address("lab")["url"]
        with lab_client(home, "operator") as client:
            for n in range(PAGE + 2):
                client.register_dataset(draft(id=f"one-{n:03}", title=f"Title {n}", description="One of many"))
            expected = {f"{url}/api/v1/datasets/one-{n:03}" for n in range(PAGE + 2)}
            for address in ("/api/v1/catalog/dcat-ap", "/api/v1/catalog/dcat-ap.ttl"):
                found = gathered(f"{url}{address}")
                assert [len(page) for page in found] == [PAGE, 2]
                assert set().union(*found) == expected
            client.update_dataset("one-000", DatasetPatch(title="Another title"), revision=1)
            assert set().union(*gathered(f"{url}/api/v1/catalog/dcat-ap")) == expected
            client.move_dataset("one-001", StateChange(state=DatasetState.WITHDRAWN, reason="Faults"), revision=1)
            assert set().union(*gathered(f"{url}/api/v1/catalog/dcat-ap")) == expected - {
                f"{url}/api/v1/datasets/one-001"
            }


def gathered(address: str) -> list[set[str]]:
    """The URIs of the datasets on each page, read as ckanext-dcat reads them."""
    pages: list[set[str]] = []
    following: str | None = address
    while following is not None:
        answer = httpx.get(following, trust_env=False)
        graph = Graph().parse(data=answer.content, format=answer.headers["Content-Type"].partition(";")[0])
        pages.append({str(one) for one in graph.subjects(RDF.type, DCAT.Dataset)})
        links = [link for page in graph.subjects(RDF.type, HYDRA.PagedCollection) for link in graph[page : HYDRA.next]]
        following = str(links[0]) if links else None
    return pages


@pytest.mark.slow
@pytest.mark.skipif(not PEERS.exists(), reason="needs `make peers`")
def test_ckans_own_parser_reads_our_catalogue(labs: tuple[Home, Home]) -> None:
    home = labs[0]
    url = home.address("lab")["url"]
    german = Translation(title="Brustkrebsstudie", description="Patientinnen.", keywords=("Brustkrebs",))
    with lab_client(home, "operator") as client:
        client.register_dataset(anonymous(id="for-ckan", **described(translations={"de": german})))
        for n in range(PAGE):
            client.register_dataset(draft(id=f"ckan-{n:03}", title=f"For CKAN {n}", description="One of many"))
        known = {one.id for one in client.datasets() if one.state is DatasetState.PUBLISHED}
    command = [str(PEERS), str(ROOT / "tests" / "support" / "ckan_reads.py"), f"{url}/api/v1/catalog/dcat-ap"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    read = json.loads(done.stdout)
    assert read["pages"] == math.ceil(len(known) / PAGE) >= 2
    found = {extras(one)["uri"].rpartition("/")[2]: one for one in read["datasets"]}
    assert set(found) == known
    one = found["for-ckan"]
    assert one["title"] in {"German Breast Cancer Study Group trial", "Brustkrebsstudie"}
    assert extras(one)["identifier"] == extras(one)["uri"] == f"{url}/api/v1/datasets/for-ckan"


def extras(dataset: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in dataset["extras"]}


def test_an_export_that_has_not_changed_is_not_sent_again(labs: tuple[Home, Home]) -> None:
    url = f"{labs[0].address('lab')['url']}/api/v1/catalog/dcat-ap"
    first = httpx.get(url, headers={"Accept": "text/turtle"}, trust_env=False)
    again = httpx.get(
        url, headers={"Accept": "text/turtle", "If-None-Match": f'W/"x", {first.headers["ETag"]}'}, trust_env=False
    )
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    other = httpx.get(
        url, headers={"Accept": "application/ld+json", "If-None-Match": first.headers["ETag"]}, trust_env=False
    )
    assert other.status_code == 200


def test_a_harvest_that_fails_says_why_and_is_an_error(labs: tuple[Home, Home]) -> None:
    portal, reader = labs
    url = portal.address("lab")["url"]
    run(commands.add, "page", "--name", "P", "--address", f"{url}/datasets", "--country", "DE", home=reader)
    failed = run(commands.harvest, "page", home=reader)
    assert failed.exit_code == 1
    assert "status" in str(failed.exception) or "not DCAT-AP" in str(failed.exception)
    refused = run(commands.add, "bad", "--name", "B", "--address", "https://10.0.0.1/", "--country", "DE", home=reader)
    assert refused.exit_code == 0
    failed = run(commands.harvest, "bad", home=reader)
    assert "network that is not public" in str(failed.exception)
    closed = run(commands.add, "x", "--name", "X", "--address", "http://x.example/", "--country", "DE", home=portal)
    assert "https only" in str(closed.exception)


def test_the_operator_adds_harvests_and_removes_in_the_browser(labs: tuple[Home, Home]) -> None:
    reader = labs[1]
    operator, researcher = settle(reader, "olga", Role.OPERATOR, "lab"), settle(reader, "rosa", Role.RESEARCHER)
    form = {"id": "national", "name": "National portal", "country": "NL", "every_hours": "24"}
    with served() as portal, signed_in(reader, operator) as http, signed_in(reader, researcher) as other:
        portal.say(1, 2, d1="Cancer registry", more="<https://portal.example/dataset/9> a dcat:Dataset .")
        wrong = http.post("/sources", data={**form, "id": "No id", "address": "http://portal.example/"})
        assert (wrong.status_code, 'id="id-wrong"' in wrong.text) == (422, True)
        wrong = http.post("/sources", data={**form, "address": "http://portal.example/"})
        assert (wrong.status_code, 'id="address-wrong"' in wrong.text) == (422, True)
        form["address"] = f"{portal.url}/catalogue.ttl"
        assert http.post("/sources", data=form).headers["Location"] == "/sources?notice=source-added"
        assert http.post("/sources", data=form).status_code == 422
        http.post("/sources/national/harvest", data={"removals": ""})
        wait_until(lambda: "2 new, 0 changed" in text_of(http.get("/sources")), "the harvest")
        page = http.get("/sources")
        assert "1 dataset was not taken over" in text_of(page)
        assert "It has no title" in text_of(page)
        assert other.get("/sources").status_code == 403
        assert other.post("/sources/national/harvest").status_code == 403
        listing = other.get("/datasets?q=cancer")
        assert "Remote: National portal" in text_of(listing)
        (at,) = re.findall(r'href="(/remote/national\.[0-9a-f]{16})"', listing.text)
        shown = other.get(at)
        assert (
            'href="https://portal.example/dataset/1" rel="external noopener noreferrer">Ask for access there'
            in shown.text
        )
        assert "cannot be downloaded or trained on" in text_of(shown)
        for path in ("/datasets/national", f"/datasets/{at.rpartition('/')[2]}", "/remote/national.0000000000000000"):
            assert other.get(path).status_code == 404 or other.get(path).status_code == 422, path
        assert "Ailleurs : National portal" in text_of(other.get(at, headers={"Accept-Language": "fr"}))
        portal.say(1)
        http.post("/sources/national/harvest", data={"removals": ""})
        wait_until(lambda: "1 withdrawn" in text_of(http.get("/sources")), "the second harvest")
        portal.say(1, 2, 3, 4, 5, 6, 7, 8)
        http.post("/sources/national/harvest", data={"removals": ""})
        wait_until(lambda: "7 new" in text_of(http.get("/sources")), "the third harvest")
        assert "withdraw what is gone" not in http.get("/sources").text
        portal.say(1)
        http.post("/sources/national/harvest", data={"removals": ""})
        wait_until(lambda: "7 of 8 entries are gone" in text_of(http.get("/sources")), "the refusal")
        assert 'name="removals" value="yes"' in http.get("/sources").text
        assert other.post("/sources/national/harvest", data={"removals": "yes"}).status_code == 403
        http.post("/sources/national/harvest", data={"removals": "yes"})
        wait_until(lambda: "0 changed, 7 withdrawn" in text_of(http.get("/sources")), "the harvest with removals")
        assert http.get("/sources/national/remove").status_code == 200
        assert http.post("/sources/national/remove").headers["Location"] == "/sources?notice=source-removed"
        assert other.get(at).status_code == 404
