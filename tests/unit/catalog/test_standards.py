"""The other standards, and what they demand: each export is read by the standard's own tools."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rdflib import ODRL2, RDF, Graph, URIRef

from catalog import datasets
from catalog.errors import ConflictError
from catalog.records import Announcement, Dataset, DatasetDraft, Role, StoredFile, Version
from catalog.standards.address import Address
from catalog.standards.catalogue import latest, ready, ready_count
from catalog.standards.export import JSON_LD, TURTLE, export_catalogue, export_dataset
from catalog.standards.odrl import TAKING_AWAY
from catalog.standards.requirements import REQUIRED, STANDARDS, Form, Standard, applies, missing_for
from catalog.store import Store
from datalab.canonical import sha256_file
from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from datalab.settings import load_settings
from tests.unit.catalog.examples import account, anonymous, at_site, described, draft, registered, report, version

LAB = Address("https://lab.example.org/api/v1")
Example = Callable[..., DatasetDraft]
LOST = ("description", "keywords", "contact", "provenance", "hdab", "health_categories", "licence")
EMPTY: dict[str, Any] = {"description": "", "keywords": (), "health_categories": (), "provenance": ""}


def full(example: Example = draft, **changes: Any) -> tuple[Dataset, Version]:
    stated = example(**described(**changes))
    return registered(stated), version(stated)


def read(form: Form, dataset: Dataset, one: Version | None) -> Any:
    return json.loads(export_dataset(dataset, one, form, LAB).text)


# What is demanded.


@pytest.mark.parametrize(("standard", "field"), [(name, one) for name, fields in REQUIRED.items() for one in fields])
def test_each_field_that_a_standard_demands_is_named_when_it_is_missing(standard: Standard, field: str) -> None:
    one: Version | None
    example = draft if standard == "healthdcat-ap" else anonymous
    if field == "dataset_type":
        stated = at_site(**described(data_class="anonymous"))
        dataset, one = registered(stated), version(stated)
    else:
        dataset, one = full(example)
        assert missing_for(dataset, one, standard) == []
        if field == "version":
            one = None
        else:
            dataset = dataset.model_copy(update={field: EMPTY.get(field)})
    (lacking,) = missing_for(dataset, one, standard)
    assert (lacking.field, lacking.why) == (field, REQUIRED[standard][field])
    form: Form = standard  # every standard is a form by itself
    with pytest.raises(ConflictError, match=f"{field}: "):
        export_dataset(dataset, one, form, LAB)


def test_healthdcat_ap_is_for_non_public_health_data_alone() -> None:
    assert applies(draft(), "healthdcat-ap")
    for other in (draft(theme="TECH"), anonymous(), anonymous(access="restricted")):
        assert not applies(other, "healthdcat-ap")
        with pytest.raises(ConflictError, match="not"):
            export_dataset(registered(other), version(other), "healthdcat-ap", LAB)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "records.duckdb")
    yield opened
    opened.close()


def test_the_catalogue_has_just_the_datasets_that_lack_nothing(store: Store) -> None:
    changes: list[dict[str, Any]] = [{}, *({field: EMPTY.get(field)} for field in LOST)]
    for index, change in enumerate(changes):
        for kind, example in (("site", at_site), ("open", anonymous), ("lab", draft)):
            stated = example(id=f"{kind}-{index:02}", **described(**change))
            datasets.register(store, stated, account())
            if kind == "site" and index % 2 == 0:
                announced = Announcement(node="rotterdam", version=1, report=report())
                datasets.announce(store, stated.id, announced, account(Role.GATEWAY))
    known = store.page(Dataset, "datasets", after="", limit=1000)
    for standard in STANDARDS:
        expected = [
            one.id for one in known if applies(one, standard) and not missing_for(one, latest(store, one.id), standard)
        ]
        found = ready(store, standard, offset=0, limit=1000)
        assert [one.id for one, _ in found] == expected
        versions = [(one, latest(store, one.id)) for one in known if one.id in expected]
        public = [None if version is None else datasets.shown(version, one, None) for one, version in versions]
        assert [version for _, version in found] == public
        assert ready_count(store, standard) == len(expected)
        assert 0 < len(expected) <= len(known)


def test_a_harvester_that_follows_the_links_gets_every_dataset_once(store: Store) -> None:
    names = [f"set-{index:03}" for index in range(205)]
    for name in names:
        datasets.register(store, anonymous(id=name, description="One of many."), account())
    hydra = "http://www.w3.org/ns/hydra/core#"
    seen: list[str] = []
    page: URIRef | None = URIRef(f"{LAB.api}/catalog/dcat-ap.ttl?page=1")
    while page is not None:
        number = int(page.partition("page=")[2])
        graph = Graph().parse(data=export_catalogue(store, "dcat-ap.ttl", number, LAB).text, format="turtle")
        found = graph.objects(URIRef(LAB.catalogue), URIRef("http://www.w3.org/ns/dcat#dataset"))
        seen += sorted(str(one).rpartition("/")[2] for one in found)
        assert str(graph.value(page, URIRef(f"{hydra}totalItems"))) == "205"
        assert (page, RDF.type, URIRef(f"{hydra}PagedCollection")) in graph  # where CKAN's harvester looks for the next
        following = graph.value(page, URIRef(f"{hydra}next"))
        page = following if isinstance(following, URIRef) else None
    assert seen == names
    with pytest.raises(NotFoundError, match="3 pages"):
        export_catalogue(store, "dcat-ap.ttl", 4, LAB)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON_LD),
        ("*/*", JSON_LD),
        ("text/turtle", TURTLE),
        ("text/*", TURTLE),
        ("application/ld+json;q=0.5, text/turtle;q=0.9", TURTLE),
        ("application/ld+json, text/turtle;q=0.9", JSON_LD),
        ("text/turtle;q=0, */*", JSON_LD),
        ("text/turtle;q=nonsense", JSON_LD),
        ("image/png", JSON_LD),
    ],
)
def test_the_notation_is_the_one_that_the_reader_prefers(accept: str, media_type: str) -> None:
    dataset, one = full()
    assert export_dataset(dataset, one, "dcat-ap", LAB, accept=accept).media_type == media_type
    assert export_dataset(dataset, one, "dcat-ap.ttl", LAB, accept=accept).media_type == TURTLE


@pytest.mark.parametrize("form", ["dcat-ap.ttl", "dcat-ap.jsonld", "healthdcat-ap.jsonld"])
def test_the_same_record_gives_the_same_document(form: Form) -> None:
    assert export_dataset(*full(), form, LAB) == export_dataset(*full(), form, LAB)


def test_the_address_of_a_lab_is_an_address(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert load_settings(home).public_url is None
    assert load_settings(home, public_url="https://lab.example.org").public_url
    for wrong in ("lab.example.org", "javascript:alert(1)", "https://lab.example.org/path", "https://lab.example/"):
        with pytest.raises(BadInputError, match="public_url"):
            load_settings(home, public_url=wrong)


# Croissant.


def validate(document: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the standard's own validator."""
    path = folder / "croissant.json"
    path.write_text(json.dumps(document))
    command = [str(Path(sys.executable).with_name("mlcroissant")), "validate", "--jsonld", str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("example", [draft, at_site, anonymous])
def test_croissant_is_valid_and_has_licence_and_description(example: Example, tmp_path: Path) -> None:
    dataset, one = full(example)
    document = read("croissant", dataset, one)
    done = validate(document, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()
    assert "warning" not in done.stderr.lower(), done.stderr
    # The tool only warns about these two, so we look ourselves.
    assert document["license"].startswith("https://")
    assert document["description"] == dataset.description
    assert document["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    assert document["rai:dataBiases"] == [dataset.biases]


def test_croissant_names_files_of_data_that_may_be_downloaded_and_of_no_other(tmp_path: Path) -> None:
    open_data = read("croissant", *full(anonymous))
    assert [one["contentUrl"] for one in open_data["distribution"]] == [LAB.download("gbsg", 1, 0)]
    assert [one["name"] for one in open_data["recordSet"][0]["field"]] == ["age", "event"]
    for example in (draft, at_site):
        document = read("croissant", *full(example))
        assert "distribution" not in document
        assert "download" not in json.dumps(document)
        assert [one["name"] for one in document["variableMeasured"]] == ["age", "event"]
        assert document["rai:personalSensitiveInformation"]
    broken = {**open_data, "distribution": []}
    assert validate(broken, tmp_path).returncode != 0


def test_croissant_of_open_data_loads(tmp_path: Path) -> None:
    dataset, one = full(anonymous)
    path = tmp_path / "data.parquet"
    duckdb.execute(f"COPY (SELECT 50.5 + range AS age, range::INTEGER AS event FROM range(3)) TO '{path}'")
    file = StoredFile(key="lake/0.parquet", sha256=sha256_file(path), bytes=path.stat().st_size)
    document = read("croissant", dataset, one.model_copy(update={"files": (file,)}))
    document["distribution"][0]["contentUrl"] = "data.parquet"  # beside the description, instead of at a lab
    (tmp_path / "croissant.json").write_text(json.dumps(document))
    load = (
        "import json, sys, mlcroissant; "
        "print(json.dumps(list(mlcroissant.Dataset(sys.argv[1]).records('rows')), default=float))"
    )
    command = [sys.executable, "-c", load, str(tmp_path / "croissant.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    assert rows == [{"rows/age": 50.5 + n, "rows/event": n} for n in range(3)]


# ODRL.


def policy(dataset: Dataset) -> Graph:
    """An offer as RDF."""
    return Graph().parse(data=export_dataset(dataset, None, "odrl", LAB).text, format="json-ld")


@pytest.mark.parametrize(
    ("example", "allowed", "forbidden", "duty"),
    [
        (draft(), {"derive"}, set(TAKING_AWAY), {"obtainConsent"}),
        (at_site(), {"derive"}, set(TAKING_AWAY), {"obtainConsent"}),
        (anonymous(access="federated-only"), {"derive"}, set(TAKING_AWAY), {"obtainConsent"}),
        (anonymous(access="restricted"), {"use"}, set(), {"obtainConsent"}),
        (anonymous(), {"use"}, set(), set()),
    ],
)
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_an_offer_permits_what_access_allows(
    example: DatasetDraft, allowed: set[str], forbidden: set[str], duty: set[str]
) -> None:
    graph = policy(registered(example))
    (offer,) = graph.subjects(RDF.type, ODRL2.Offer)
    assert str(offer) == LAB.offer(example.id)

    def actions(kind: str) -> set[str]:
        rules = graph.objects(offer, ODRL2[kind])
        return {str(one).removeprefix(str(ODRL2)) for rule in rules for one in graph.objects(rule, ODRL2.action)}

    assert (actions("permission"), actions("prohibition")) == (allowed, forbidden)
    duties = {one for rule in graph.objects(None, ODRL2.duty) for one in graph.objects(rule, ODRL2.action)}
    assert duties == {ODRL2[name] for name in duty}
    assert graph.value(offer, ODRL2.conflict) == ODRL2.prohibit
    targets = {str(one) for one in graph.objects(None, ODRL2.target)}
    assert targets == {LAB.dataset(example.id)}
    purposes = {str(one).split("pnt_")[1][0] for one in graph.objects(None, ODRL2.rightOperand)}
    assert purposes == set(example.purposes)


# Tables.


def test_the_columns_are_told_as_table_schema_and_as_csv_without_formulas() -> None:
    columns = [
        {"name": "age", "type": "number", "unit": "a", "description": '=HYPERLINK("x")'},
        {
            "name": "event",
            "type": "integer",
            "unit": None,
            "description": "1, or 0",
            "code_system": "urn:o",
            "nullable": False,
            "sensitivity": "high",
        },
    ]
    dataset = registered(draft())
    one = version(draft(), columns=columns)
    fields = read("frictionless", dataset, one)["fields"]
    assert [(field["name"], field["type"]) for field in fields] == [("age", "number"), ("event", "integer")]
    assert fields[0] == {"name": "age", "type": "number", "unit": "a", "description": '=HYPERLINK("x")'}
    assert (fields[1]["codeSystem"], fields[1]["sensitivity"]) == ("urn:o", "high")
    assert fields[1]["constraints"] == {"required": True}
    exported = export_dataset(dataset, one, "schema.csv", LAB)
    assert exported.media_type == "text/csv"
    assert exported.text.splitlines()[1:] == [
        'age,number,a,,,,"\'=HYPERLINK(""x"")"',
        'event,integer,,urn:o,no,high,"1, or 0"',
    ]
