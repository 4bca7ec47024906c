"""What a page says, read by the real process: three notations alike, strangers' tricks refused, bad entries named."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event

import pytest
from rdflib import Graph

from catalog.harvest.fetch import Document, Form, form_of
from catalog.harvest.page import ReadPage, read_page
from catalog.harvest.parsing import MAX_TRIPLES
from catalog.harvest.records import Description
from catalog.records import Contact, Translation
from datalab.errors import BadInputError

TURTLE = """
@prefix dcat: <http://www.w3.org/ns/dcat#> .
@prefix dct: <http://purl.org/dc/terms/> .
@prefix foaf: <http://xmlns.com/foaf/0.1/> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix vcard: <http://www.w3.org/2006/vcard/ns#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
<https://portal.example/catalogue> a dcat:Catalog ; dct:title "National catalogue"@en ;
    owl:imports <http://127.0.0.1:9/ontology> ;
    dcat:dataset <https://portal.example/d/1>, <https://portal.example/d/9> .
<https://portal.example/d/1> a dcat:Dataset ;
    dct:title "Krebsregister"@de-AT, "Cancer registry"@en ;
    dct:description "Tumours since 1990."@en, "Tumore seit 1990."@de ;
    dcat:keyword "cancer"@en, "registry"@en, "Krebs"@de ;
    dct:publisher [ a foaf:Agent ; foaf:name "Registry office"@en ] ;
    dcat:contactPoint [ vcard:fn "Data desk" ; vcard:hasEmail <mailto:data@portal.example> ] ;
    dcat:theme <http://publications.europa.eu/resource/authority/data-theme/HEAL>, <https://other.example/theme> ;
    dct:accessRights <http://publications.europa.eu/resource/authority/access-right/RESTRICTED> ;
    dcat:landingPage <https://portal.example/page/1> ;
    dct:issued "2020-01-31"^^xsd:date ; dct:modified "2026-02-03T04:05:06Z"^^xsd:dateTime ;
    dcat:distribution [ a dcat:Distribution ; dcat:accessURL <https://portal.example/files/1> ;
        dct:license <https://creativecommons.org/licenses/by/4.0/> ] .
"""
CANCER = Description(
    uri="https://portal.example/d/1",
    title="Cancer registry",
    description="Tumours since 1990.",
    keywords=("cancer", "registry"),
    language="en",
    translations={"de": Translation(title="Krebsregister", description="Tumore seit 1990.", keywords=("Krebs",))},
    publisher="Registry office",
    themes=("HEAL",),
    licence="CC-BY-4.0",
    access="restricted",
    ask_at="https://portal.example/page/1",
    contact=Contact(name="Data desk", email="data@portal.example"),
    issued="2020-01-31",
    modified="2026-02-03T04:05:06+00:00",
)


def read(data: str | bytes, form: Form = "turtle") -> ReadPage:
    encoded = data.encode() if isinstance(data, str) else data
    return read_page(Document("https://portal.example/catalogue.ttl", form, encoded), Event())


def in_form(form: Form) -> str:
    graph = Graph().parse(data=TURTLE, format="turtle")
    if form == "json-ld":
        return graph.serialize(format=form, context={"dct": "http://purl.org/dc/terms/"})
    return TURTLE if form == "turtle" else graph.serialize(format=form)


@pytest.mark.parametrize("form", ["turtle", "json-ld", "xml"])
def test_each_notation_says_the_same_and_nothing_else_is_loaded(form: Form) -> None:
    """The catalogue's owl:imports names an address at which nobody listens; it is not asked for."""
    said = read(in_form(form), form)
    (found,) = said.entries
    assert found.model_copy(update={"modified": None}) == CANCER.model_copy(update={"modified": None})
    assert found.modified in {CANCER.modified, "2026-02-03T04:05:06Z"}
    assert (said.problems, said.following, said.total) == ((), None, None)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
BOMBS: dict[str, tuple[Form, str, str]] = {
    "billion laughs": ("xml", f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><x>&l11;</x>', "declares a document type"),
    "a file": ("xml", '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>', "declares a document type"),
    "a type elsewhere": ("xml", '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>', "declares a document type"),
    "no XML": ("xml", "<x><y></x>", "not XML (line 1)"),
    "a page for people": ("turtle", "<!doctype html><html><body>Not here</body></html>", "not readable as turtle"),
    "no JSON": ("json-ld", "{", "not JSON"),
    "a context elsewhere": ("json-ld", '{"@context": "http://127.0.0.1:9/c", "@id": "x"}', "a context elsewhere"),
    "one of several": ("json-ld", '{"@context": [{}, "http://127.0.0.1:9/c"]}', "a context elsewhere"),
    "one inside": ("json-ld", '{"@graph": [{"a": {"@context": "file:///etc/passwd"}}]}', "a context elsewhere"),
    "an import": ("json-ld", '{"@context": {"@import": "http://127.0.0.1:9/c"}}', "a context elsewhere"),
    "nested": ("json-ld", "[" * 100_000 + "]" * 100_000, "not JSON"),
    "brackets": ("turtle", "<a:b> <a:c> " + "[ <a:c> " * 50_000, "cannot be read"),
    "too much": ("turtle", "<a:b> <a:c> " + ",".join(map(str, range(MAX_TRIPLES + 1))) + " .", "statements"),
}


@pytest.mark.parametrize(
    "name", [name if name != "too much" else pytest.param(name, marks=pytest.mark.slow) for name in BOMBS]
)
def test_a_page_that_is_meant_ill_or_is_none_is_refused_in_a_sentence(name: str) -> None:
    form, data, said = BOMBS[name]
    with pytest.raises(BadInputError, match=said.replace("(", r"\(").replace(")", r"\)")):
        read(data, form)


def test_xml_in_another_encoding_hides_no_entities() -> None:
    with pytest.raises(BadInputError, match="declares a document type"):
        read('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'.encode("utf-16"), "xml")


def test_datasets_that_cannot_be_taken_over_are_named_and_others_go_on() -> None:
    said = read(
        TURTLE
        + '<https://portal.example/d/2> a dcat:Dataset ; dct:description "Without a title" .\n'
        + '[] a dcat:Dataset ; dct:title "Without an address" .\n'
        + '<urn:uuid:1> a dcat:Dataset ; dct:title "Named otherwise" ; dct:identifier "https://portal.example/d/3" .\n'
        + f'<https://portal.example/d/4> a dcat:Dataset ; dct:title "{"x" * 999}"; dct:description "{"y" * 20_000}" .\n'
    )
    assert [one.uri.rpartition("/")[2] for one in said.entries] == ["1", "4", "3"]
    long = said.entries[1]
    assert (len(long.title), long.title[-1], len(long.description)) == (300, "…", 10_000)
    assert {(one.entry, one.what) for one in said.problems} == {
        ("https://portal.example/d/2", "It has no title (dct:title)."),
        ("Without an address", "It has no address that it keeps (URI or dct:identifier)."),
    }
    assert "https://portal.example/d/2" in said.troubled


def test_licences_are_named_as_spdx_does_where_it_has_them() -> None:
    stated = {
        "<http://publications.europa.eu/resource/authority/licence/CC_BYSA_4_0>": "CC-BY-SA-4.0",
        "<https://spdx.org/licenses/MIT>": "MIT",
        "<http://spdx.org/licenses/ODbL-1.0.html>": "ODbL-1.0",
        "<https://creativecommons.org/publicdomain/zero/1.0/>": "CC0-1.0",
        '[ dct:title "Own terms" ]': "Own terms",
        "<https://portal.example/terms>": "https://portal.example/terms",
        "<javascript:alert(1)>": None,
    }
    listed = "".join(
        f'<https://x.example/{number}> a dcat:Dataset ; dct:title "x" ; dct:license {one} .\n'
        for number, one in enumerate(stated)
    )
    said = read(TURTLE.partition("<https")[0] + listed)
    assert [one.licence for one in said.entries] == [*stated.values()]


def test_no_address_gets_through_that_a_browser_would_run() -> None:
    (found,) = read(
        TURTLE.replace("https://portal.example/page/1", "javascript:alert(1)").replace("files/1>", "files/1?a=b>")
    ).entries
    assert found.ask_at == "https://portal.example/files/1?a=b"


@pytest.mark.parametrize(
    ("media_type", "name", "form"),
    [
        ("text/turtle; charset=utf-8", "x", "turtle"),
        ("", "catalogue.jsonld", "json-ld"),
        ("application/octet-stream", "/c.rdf", "xml"),
        ("text/plain", "/c.nt", "turtle"),
    ],
)
def test_how_a_page_is_written_is_told_by_its_media_type_or_its_ending(media_type: str, name: str, form: Form) -> None:
    assert form_of(media_type, name) == form
    for kind, path in (("text/html", "c.ttl"), ("", "c.html"), ("", "c")):
        with pytest.raises(BadInputError, match="not DCAT-AP"):
            form_of(kind, path)


def test_the_reader_stops_with_the_lab(tmp_path: Path) -> None:
    stopped = Event()
    stopped.set()
    document = Document(
        "https://x.example/", "turtle", ("<a:b> <a:c> " + ",".join(map(str, range(400_000))) + " .").encode()
    )
    with pytest.raises(Exception, match="stopping"):
        read_page(document, stopped)


def test_what_comes_out_of_the_reader_is_json_of_bounded_texts() -> None:
    assert json.loads(read(TURTLE).entries[0].model_dump_json())["title"] == "Cancer registry"
