"""DCAT-AP and HealthDCAT-AP: what we say of a dataset conforms to the official shapes, and only then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rdflib import DCTERMS, FOAF, RDF, SH, Graph, URIRef
from rdflib.compare import isomorphic

from catalog.records import Dataset, DatasetDraft, Version
from catalog.standards import dcat
from catalog.standards.address import Address
from catalog.standards.dcat import DCAT, DCATAP, HEALTH, HYDRA, VCARD
from tests.unit.catalog.examples import anonymous, at_site, described, draft, registered, version
from tests.unit.catalog.shapes import Profile, needs_shapes, shapes, violations

LAB = Address("https://lab.example.org/api/v1")
GBSG = URIRef(LAB.dataset("gbsg"))
EXAMPLES = [draft, at_site, anonymous]
Example = Callable[..., DatasetDraft]


def full(example: Example = draft, **changes: object) -> tuple[Dataset, Version]:
    stated = example(**described(**changes))
    return registered(stated), version(stated)


@needs_shapes
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_conforms_to_dcat_ap(example: Example) -> None:
    for dataset, one in (full(example), (registered(example(description="Short.")), None)):
        graph = dcat.dataset_graph(dataset, one, LAB)
        assert (GBSG, RDF.type, DCAT.Dataset) in graph
        assert not violations(graph, "dcat-ap")


@needs_shapes
@pytest.mark.parametrize("example", [draft, at_site])
def test_non_public_health_data_conforms_to_healthdcat_ap(example: Example) -> None:
    assert not violations(dcat.dataset_graph(*full(example), LAB), "healthdcat-ap")


MANDATORY: dict[Profile, list[URIRef]] = {
    "dcat-ap": [DCTERMS.title, DCTERMS.description],
    "healthdcat-ap": [
        DCTERMS.title,
        DCTERMS.description,
        DCTERMS.identifier,
        DCTERMS.accessRights,
        DCTERMS.provenance,
        DCTERMS.type,
        DCAT.contactPoint,
        DCAT.distribution,
        DCAT.keyword,
        DCAT.theme,
        DCATAP.applicableLegislation,
        HEALTH.hdab,
        HEALTH.healthCategory,
    ],
}


@needs_shapes
@pytest.mark.parametrize(("profile", "mandatory"), [(name, one) for name, all_ in MANDATORY.items() for one in all_])
def test_a_dataset_without_a_mandatory_property_does_not_conform(profile: Profile, mandatory: URIRef) -> None:
    graph = dcat.dataset_graph(*full(), LAB)
    assert (GBSG, mandatory, None) in graph
    graph.remove((GBSG, mandatory, None))
    assert str(mandatory) in violations(graph, profile) or mandatory.fragment in violations(graph, profile)


@needs_shapes
@pytest.mark.parametrize(
    ("node", "mandatory"),
    [
        ("#publisher", FOAF.name),
        ("#publisher", DCAT.contactPoint),
        ("#hdab", FOAF.name),
        ("#hdab", DCAT.contactPoint),
        ("#contact", VCARD.hasEmail),
        ("/versions/1#distribution", DCAT.accessURL),
        ("/versions/1#distribution", DCATAP.applicableLegislation),
    ],
)
def test_what_a_dataset_refers_to_has_its_own_mandatory_properties(node: str, mandatory: URIRef) -> None:
    graph = dcat.dataset_graph(*full(), LAB)
    part = URIRef(f"{GBSG}{node}")
    assert (part, mandatory, None) in graph
    graph.remove((part, mandatory, None))
    assert violations(graph, "healthdcat-ap")


@needs_shapes
@pytest.mark.parametrize("profile", MANDATORY)
def test_the_shapes_list_no_mandatory_property_that_these_tests_forget(profile: Profile) -> None:
    rules = shapes(profile).query(
        """SELECT DISTINCT ?path WHERE {
          ?shape sh:targetClass dcat:Dataset ; sh:property [ sh:minCount 1 ; sh:path ?path ] }""",
        initNs={"sh": SH, "dcat": DCAT},
    )
    assert {row[0] for row in rules} == set(MANDATORY[profile])  # type: ignore[index]  # rows of a SELECT


@needs_shapes
def test_every_node_of_the_catalogue_needs_what_dcat_ap_demands_of_its_class() -> None:
    """Not of datasets alone: catalogue, distributions, publishers and checksums of a page, each property in turn."""
    rules = shapes("dcat-ap").query(
        """SELECT DISTINCT ?class ?path WHERE {
          ?shape sh:targetClass ?class ; sh:property [ sh:minCount ?count ; sh:path ?path ] FILTER (?count > 0) }""",
        initNs={"sh": SH},
    )
    found = [full(), full(anonymous, id="open")]
    graph = dcat.catalogue_graph(found, dcat.Page(1, 1, 2), f"{LAB.api}/catalog/dcat-ap.ttl", LAB)
    assert not violations(graph, "dcat-ap")
    tried = set()
    for kind, path in rules:  # type: ignore[misc]  # rows of a SELECT
        for node in sorted(graph.subjects(RDF.type, kind), key=str)[:1]:
            less = Graph() + graph
            less.remove((node, path, None))
            assert violations(less, "dcat-ap"), (kind, path)
            tried.add(str(kind).rpartition("#")[2].rpartition("/")[2])
    assert {"Catalog", "Dataset", "Distribution", "Agent", "Checksum"} <= tried


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_both_forms_say_the_same() -> None:
    graph = dcat.dataset_graph(*full(), LAB)
    for media_type in ("text/turtle", "application/ld+json"):
        again = Graph().parse(data=dcat.serialise(graph, media_type), format=media_type)
        assert isomorphic(again, graph), media_type


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@given(text=st.text(min_size=1, max_size=100), media_type=st.sampled_from(["text/turtle", "application/ld+json"]))
def test_any_text_comes_out_as_it_went_in(text: str, media_type: str) -> None:
    graph = dcat.dataset_graph(registered(draft(description=text)), None, LAB)
    again = Graph().parse(data=dcat.serialise(graph, media_type), format=media_type)
    assert str(again.value(GBSG, DCTERMS.description)) == text


@needs_shapes
@pytest.mark.parametrize("profile", MANDATORY)
def test_an_export_of_nothing_does_not_conform(profile: Profile) -> None:
    assert violations(dcat.new_graph(), profile) == "no dataset"
    assert violations(dcat.catalogue_graph([], dcat.Page(1, 1, 0), LAB.catalogue, LAB), profile) == "no dataset"


def test_small_numbers_of_people_stay_untold() -> None:
    with pytest.raises(ValidationError, match="individuals"):
        draft(individuals=9)
    dataset, few = registered(draft(**described(individuals=686))), version(draft(), disclosure_threshold=687)
    graph = dcat.dataset_graph(dataset, few, LAB)
    assert few.report.rows == 3
    assert not list(graph.objects(GBSG, HEALTH.numberOfUniqueIndividuals))
    assert not list(graph.objects(GBSG, HEALTH.numberOfRecords))
    graph = dcat.dataset_graph(*full(), LAB)
    assert [str(one) for one in graph.objects(GBSG, HEALTH.numberOfUniqueIndividuals)] == ["686"]
    many = version(draft(), rows=300, rows_in=400, rejected_rows=50, excluded={"censored": 50})
    graph = dcat.dataset_graph(registered(draft()), many, LAB)
    assert [str(one) for one in graph.objects(GBSG, HEALTH.numberOfRecords)] == ["300"]


@pytest.mark.parametrize(
    ("example", "rights", "files"),
    [
        (draft(), "NON_PUBLIC", 0),
        (at_site(), "NON_PUBLIC", 0),
        (anonymous(), "PUBLIC", 2),
        (anonymous(access="restricted"), "RESTRICTED", 2),
        (anonymous(access="federated-only"), "NON_PUBLIC", 0),
    ],
)
def test_only_what_may_be_downloaded_says_where(example: DatasetDraft, rights: str, files: int) -> None:
    graph = dcat.dataset_graph(registered(example), version(example, files=2), LAB)
    (stated,) = graph.objects(GBSG, DCTERMS.accessRights)
    assert str(stated).endswith(f"/{rights}")
    assert len(list(graph.objects(None, DCAT.downloadURL))) == files
    assert len(list(graph.objects(None, DCAT.byteSize))) == files


@needs_shapes
@pytest.mark.parametrize("profile", MANDATORY)
def test_a_page_of_the_catalogue_conforms_and_leads_to_the_next(profile: Profile) -> None:
    found = [full(), full(at_site, id="rotterdam")]
    this = f"{LAB.api}/catalog/{profile}.ttl"
    graph = dcat.catalogue_graph(found, dcat.Page(2, 3, 250), this, LAB)
    assert not violations(graph, profile)
    assert len(list(graph.objects(None, DCAT.dataset))) == 2
    view = URIRef(f"{this}?page=2")
    assert {link: str(graph.value(view, HYDRA[link])) for link in ("first", "previous", "next", "last")} == {
        "first": f"{this}?page=1",
        "previous": f"{this}?page=1",
        "next": f"{this}?page=3",
        "last": f"{this}?page=3",
    }
    assert str(graph.value(view, HYDRA.totalItems)) == "250"
    demanded = [DCTERMS.title, DCTERMS.description, DCTERMS.publisher]
    for mandatory in [*demanded, *([DCATAP.applicableLegislation] if profile == "healthdcat-ap" else [])]:
        less = Graph() + graph
        less.remove((URIRef(LAB.catalogue), mandatory, None))
        assert mandatory.rpartition("/")[2] in violations(less, profile)
