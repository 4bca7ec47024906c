"""What is compressed on its way, what browsers keep, and the forms in which a dataset's page offers it to others."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import rdflib

from catalog.client import lab_client
from catalog.records import Role
from catalog.service import SERVICE
from catalog.web.pages.datasets import EXPORTS
from datalab.home import Home
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import Staging, home_beside
from tests.support.every_page import PLACES, route_of
from tests.support.pages import Person, signed_in, visit
from tests.unit.catalog.examples import anonymous, described, draft
from tests.unit.web.test_every_page import ANYTHING

COMPRESSED = {
    "/datasets",
    "/datasets/{dataset}",
    *(f"/datasets/{{dataset}}/{tab}" for tab in ("schema", "profile", "quality", "lineage", "versions", "compare")),
}
"""Pages that everybody with an account reads alike."""
GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture(scope="module")
def atlas(catalog_home: Home) -> Home:
    with lab_client(catalog_home, "operator") as client:
        for number in range(20):
            client.register_dataset(anonymous(id=f"atlas-{number}", title=f"Atlas {number}"))
    return catalog_home


def test_scripts_styles_and_the_catalog_are_compressed(atlas: Home, people: dict[Role, Person]) -> None:
    with signed_in(atlas, people[Role.RESEARCHER], **GZIP) as http:
        page = http.get("/datasets")
        assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
        assert {address.rpartition(".")[2] for address in assets} == {"css", "js", "svg"}
        for address in ("/datasets", "/datasets/atlas-0", *(one for one in assets if "/icon." not in one)):
            packed = http.get(address)
            plain = http.get(address, headers={"Accept-Encoding": "identity"})
            assert "Content-Encoding" not in plain.headers
            if len(plain.content) < 1500:  # where gzip would win nothing
                continue
            assert packed.headers["Content-Encoding"] == "gzip", address
            assert "Accept-Encoding" in packed.headers["Vary"], address
            assert int(packed.headers["Content-Length"]) < len(plain.content) * 0.6, address
            assert packed.content == plain.content


def test_static_files_are_kept_under_a_name_that_changes_with_them_and_pages_are_not(
    atlas: Home, people: dict[Role, Person]
) -> None:
    with signed_in(atlas, people[Role.RESEARCHER]) as http:
        page = http.get("/datasets")
        assert page.headers["Cache-Control"] == "no-store"
        for address in set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)):
            kept = http.get(address)
            assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            before = re.sub(r"/static/[0-9a-f]{16}/", f"/static/{'0' * 16}/", address)
            assert before != address
            assert http.get(before).status_code == 404


def test_no_page_with_something_secret_on_it_is_compressed(atlas: Home, people: dict[Role, Person]) -> None:
    looked_at = set()
    with ExitStack() as stack:
        browsers: dict[Role | None, httpx.Client] = {None: stack.enter_context(visit(atlas))}
        browsers |= {role: stack.enter_context(signed_in(atlas, person)) for role, person in people.items()}
        for place in PLACES:
            route = route_of(place.at(ANYTHING))
            assert route is not None
            if route.path in COMPRESSED or route.path in looked_at:
                continue
            looked_at.add(route.path)
            answer = browsers[place.role].get(place.at(ANYTHING), headers=GZIP)
            assert "Content-Encoding" not in answer.headers, route.path
    assert len(looked_at) > 50
    with signed_in(atlas, people[Role.RESEARCHER], **GZIP) as http:
        made = http.post("/account/tokens", data={"label": "notebook", "days": "7"})
        assert "datalab_" in made.text
        assert "Content-Encoding" not in made.headers


MEDIA_TYPE = {
    "dcat-ap.ttl": "text/turtle",
    "dcat-ap.jsonld": "application/ld+json",
    "healthdcat-ap.ttl": "text/turtle",
    "healthdcat-ap.jsonld": "application/ld+json",
    "croissant": "application/ld+json",
    "odrl": "application/ld+json",
    "frictionless": "application/json",
    "schema.csv": "text/csv",
}


@pytest.fixture(scope="module")
def described_page(
    catalog_home: Home, people: dict[Role, Person], object_store: object, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The page of a dataset that lacks nothing."""
    staging = Staging(object_store, tmp_path_factory.mktemp("exports"))  # type: ignore[arg-type]
    with lab_client(catalog_home, "operator") as client, lab_client(catalog_home, "pipeline") as pipeline:
        client.register_dataset(draft(id="described", modality="tabular", **described()))
        pipeline.publish("described", staging.request("described", "exported", rows=686))
    with signed_in(catalog_home, people[Role.RESEARCHER]) as http:
        return http.get("/datasets/described").text


def parse(kind: str, text: str) -> int:
    """Read a document as its media type says, and return how much is in it."""
    if kind == "text/csv":
        return len(list(csv.DictReader(io.StringIO(text))))
    if kind == "text/turtle":
        return len(rdflib.Graph().parse(data=text, format="turtle"))
    return len(json.loads(text))


def test_every_link_answers_to_anybody_with_the_right_media_type(described_page: str, catalog_home: Home) -> None:
    links = set(re.findall(r'href="(/api/v1/datasets/described/exports/([^"]+))"', described_page))
    assert {form for _, form in links} == set(EXPORTS) == set(MEDIA_TYPE)
    with httpx.Client(base_url=catalog_home.address("lab")["url"], trust_env=False, timeout=30) as anybody:
        for address, form in links:
            answer = anybody.get(address)
            assert answer.status_code == 200, form
            assert answer.headers["Content-Type"].partition(";")[0] == MEDIA_TYPE[form], form
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert parse(MEDIA_TYPE[form], answer.text) > 0, form


def test_what_machines_are_pointed_to_is_what_it_is_said_to_be(described_page: str) -> None:
    alternates = re.findall(r'<link rel="alternate" type="([^"]+)" href="[^"]+/exports/([^"]+)">', described_page)
    assert {form: kind for kind, form in alternates} == {
        form: kind for form, kind in MEDIA_TYPE.items() if form.endswith((".ttl", ".jsonld"))
    }


@pytest.mark.parametrize("proxies", ["", 'proxies = ["127.0.0.0/8"]\n'], ids=["none", "loopback"])
def test_requests_are_counted_by_the_address_that_a_known_proxy_names(
    lab_home: Home, tmp_path: Path, proxies: str
) -> None:
    """From nobody else is the header believed: who may name an address of their own is never asked to wait."""
    home = home_beside(lab_home, tmp_path)
    (home.path / "datalab.toml").write_text(f"{proxies}[ports]\nlab = 0\n", encoding="utf-8")
    with Supervisor() as supervisor:
        supervisor.start(SERVICE.name, SERVICE.module, home)
        with visit(home) as http:

            def ask(address: str) -> int:
                return http.get("/api/v1/catalog/odrl", headers={"X-Forwarded-For": address}).status_code

            assert 429 in {ask("198.51.100.7") for _ in range(200)}
            others = {ask(f"203.0.113.{number}") for number in range(1, 30)}
            assert (429 in others) == (not proxies)
            assert 429 in {ask("203.0.113.99, 198.51.100.7") for _ in range(200)}, "only what the proxy added counts"
