"""Exports over a real lab server: the demo's datasets, by the client, the command and plain HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rdflib import Graph

from catalog.client import LabClient, lab_client
from catalog.errors import ConflictError
from catalog.records import Announcement, DatasetPatch, PublishRequest, StoredFile
from catalog.standards.dcat import DCAT
from catalog.standards.requirements import FORMS
from datalab.curation.contract import load_contract
from datalab.curation.engine import curate
from datalab.home import Home
from datalab.storage.store import ObjectStore
from demo.describe import describe
from demo.sources import lay_out
from demo.studies import CANCER
from tests.unit.catalog.examples import anonymous
from tests.unit.catalog.shapes import Profile, needs_shapes, violations
from tests.unit.catalog.test_standards import validate

DEMO = [site.dataset for site in CANCER.sites]


@pytest.fixture(scope="module")
def demo_lab(
    catalog_home: Home, object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabClient]:
    """A lab with the demo's two datasets, curated from their real data: one announced by its node, one published."""
    folder = tmp_path_factory.mktemp("demo")
    with lab_client(catalog_home, "operator") as operator:
        for site in CANCER.sites:
            operator.register_dataset(describe(site, CANCER))
            raw = lay_out(site, folder / site.name, None)
            report = curate(load_contract(site.contract_path), raw, folder / site.name / "out")
            if not site.shares:
                with lab_client(catalog_home, "gateway") as gateway:
                    gateway.announce(site.dataset, Announcement(node=site.name, version=1, report=report.public()))
                continue
            stored = object_store.put_file(
                f"staging/{site.dataset}/first/data.parquet", folder / site.name / "out" / "data.parquet"
            )
            assert stored.sha256 is not None
            file = StoredFile(key=stored.key, sha256=stored.sha256, bytes=stored.bytes)
            with lab_client(catalog_home, "pipeline") as pipeline:
                request = PublishRequest(intent="first", files=(file,), report=report, pipeline_run="run-1")
                pipeline.publish(site.dataset, request)
        yield operator


def test_the_demo_lacks_nothing_for_any_standard(demo_lab: LabClient) -> None:
    for dataset in DEMO:
        for one in demo_lab.standards(dataset):
            assert one.applies
            assert one.missing == {}, one.standard
        for form in FORMS:
            assert len(demo_lab.export(dataset, form)) > 100


@needs_shapes
@pytest.mark.parametrize("dataset", DEMO)
@pytest.mark.parametrize("profile", ["dcat-ap", "healthdcat-ap"])
def test_the_demos_datasets_conform_to_the_official_shapes(profile: Profile, dataset: str, demo_lab: LabClient) -> None:
    graph = Graph().parse(data=demo_lab.export(dataset, f"{profile}.ttl"), format="turtle")
    assert not violations(graph, profile)


@needs_shapes
@pytest.mark.parametrize("profile", ["dcat-ap", "healthdcat-ap"])
def test_the_whole_catalogue_conforms_to_the_official_shapes(profile: Profile, demo_lab: LabClient) -> None:
    graph = Graph().parse(data=demo_lab.export_catalogue(f"{profile}.ttl"), format="turtle")
    assert not violations(graph, profile)
    named = {str(one).rpartition("/")[2] for one in graph.objects(None, DCAT.dataset)}
    assert named >= set(DEMO)


@pytest.mark.parametrize("dataset", DEMO)
def test_the_demos_datasets_are_valid_croissant(dataset: str, demo_lab: LabClient, tmp_path: Path) -> None:
    document = json.loads(demo_lab.export(dataset, "croissant"))
    done = validate(document, tmp_path)
    assert done.returncode == 0, done.stderr
    assert document["license"]
    assert document["description"]


def test_a_steward_is_told_field_by_field_until_nothing_is_missing(demo_lab: LabClient) -> None:
    demo_lab.register_dataset(anonymous(id="bare", licence=None))
    missing = {one.standard: set(one.missing) for one in demo_lab.standards("bare")}
    assert missing["dcat-ap"] == {"description"}
    assert missing["croissant"] == {"description", "licence", "version"}
    with pytest.raises(ConflictError, match="description: "):
        demo_lab.export("bare", "dcat-ap")
    demo_lab.update_dataset("bare", DatasetPatch(description="Now it has one."), revision=1)
    assert "Now it has one." in demo_lab.export("bare", "dcat-ap.ttl")


def test_registering_says_what_is_missing(demo_lab: LabClient, catalog_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "dataset.toml"
    stated = anonymous(id="terse", licence=None).model_dump(mode="json", exclude_defaults=True)
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in stated.items()))
    command = [sys.executable, "-m", "datalab", "dataset", "register", str(path), "--home", str(catalog_home.path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert said[0] == "Registered terse."
    named = {line.removeprefix("Missing for ").split(". ")[0] for line in said[1:]}
    assert named == {
        "dcat-ap: description",
        "croissant: description",
        "croissant: licence",
        "croissant: version",
        "frictionless: version",
    }


def test_the_notation_follows_accept_and_the_names_are_addresses_of_the_lab(
    demo_lab: LabClient, catalog_home: Home
) -> None:
    url = catalog_home.address("lab")["url"]
    headers = {"Authorization": f"Bearer {catalog_home.secret('token-operator')}", "Accept": "text/turtle"}
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, trust_env=False) as http:
        turtle = http.get(f"/datasets/{DEMO[0]}/exports/dcat-ap")
        assert turtle.headers["Content-Type"].startswith("text/turtle")
        assert turtle.headers["Vary"] == "Accept, Accept-Encoding"
        assert f"<{url}/api/v1/datasets/{DEMO[0]}> a dcat:Dataset" in turtle.text
        elsewhere = http.get(f"/datasets/{DEMO[0]}/exports/dcat-ap", headers={"Host": "evil.example"})
        assert "evil.example" not in elsewhere.text
        linked = http.get(f"/datasets/{DEMO[0]}/exports/dcat-ap", headers={"Accept": "*/*"})
        assert linked.headers["Content-Type"] == "application/ld+json"
        named = http.get(f"/datasets/{DEMO[0]}", follow_redirects=True)
        assert (named.history[0].status_code, named.text) == (303, turtle.text)
        assert http.get(f"/datasets/{DEMO[0]}", headers={"Accept": "*/*"}).json()["id"] == DEMO[0]
        assert http.get(f"/datasets/{DEMO[0]}/exports/nonsense").status_code == 400
        assert http.get(f"/datasets/{DEMO[0]}/exports/croissant?version=7").status_code == 404
        assert http.get("/catalog/dcat-ap?page=9999").status_code == 404


def test_the_command_writes_a_file_or_says_what_is_missing(
    demo_lab: LabClient, catalog_home: Home, tmp_path: Path
) -> None:
    def run(dataset: str, form: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "datalab", "dataset", "export", dataset, "--home", str(catalog_home.path)]
        return subprocess.run([*command, "--as", form, *more], check=False, capture_output=True, text=True)

    path = tmp_path / "gbsg.ttl"
    assert run(DEMO[1], "healthdcat-ap.ttl", "--out", str(path)).returncode == 0
    assert path.read_text() == demo_lab.export(DEMO[1], "healthdcat-ap.ttl")
    assert json.loads(run(DEMO[1], "odrl").stdout)["@type"] == "Offer"
    demo_lab.register_dataset(anonymous(id="silent"))
    refused = run("silent", "croissant")
    assert refused.returncode != 0
    assert "description" in refused.stderr
    assert "Traceback" not in refused.stderr
