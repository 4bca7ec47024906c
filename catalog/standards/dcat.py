"""DCAT-AP 3.0.1, and its extension for health data, HealthDCAT-AP: datasets and the whole catalogue as RDF.

Both are one graph: what HealthDCAT-AP adds is there wherever a non-public health dataset states it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from rdflib import DCTERMS, FOAF, RDF, RDFS, SKOS, XSD, Graph, Literal, Namespace, URIRef

from catalog.records import Contact, Dataset, Period, Translation, Version
from catalog.standards import vocabulary as words
from catalog.standards.address import Address
from catalog.standards.requirements import applies, is_non_public

ADMS = Namespace("http://www.w3.org/ns/adms#")
DCAT = Namespace("http://www.w3.org/ns/dcat#")  # of version 3; rdflib knows version 2
DCATAP = Namespace("http://data.europa.eu/r5r/")
DPV = Namespace("https://w3id.org/dpv#")
ELI = Namespace("http://data.europa.eu/eli/ontology#")
HEALTH = Namespace("http://healthdataportal.eu/ns/health#")
HYDRA = Namespace("http://www.w3.org/ns/hydra/core#")
ODRL = Namespace("http://www.w3.org/ns/odrl/2/")
SPDX = Namespace("http://spdx.org/rdf/terms#")
VCARD = Namespace("http://www.w3.org/2006/vcard/ns#")
PREFIXES = {
    "adms": ADMS, "dcat": DCAT, "dcatap": DCATAP, "dct": DCTERMS, "dpv": DPV, "eli": ELI, "foaf": FOAF,
    "healthdcatap": HEALTH, "hydra": HYDRA, "odrl": ODRL, "rdfs": RDFS, "skos": SKOS, "spdx": SPDX, "vcard": VCARD,
    "xsd": XSD,
}  # fmt: skip


class Page(NamedTuple):
    """A page of the whole catalogue: which of how many, and how many datasets there are in all."""

    number: int
    pages: int
    total: int


def new_graph() -> Graph:
    """Return an empty graph that knows the prefixes of the standards, and those alone."""
    graph = Graph(bind_namespaces="none")
    for prefix, namespace in PREFIXES.items():
        graph.bind(prefix, namespace)
    return graph


def serialise(graph: Graph, media_type: str) -> str:
    """Return a graph as ``text/turtle`` or ``application/ld+json``; its context stands in the document."""
    if media_type == "text/turtle":
        return graph.serialize(format="turtle")
    context = {prefix: str(namespace) for prefix, namespace in PREFIXES.items()}
    document = json.loads(graph.serialize(format="json-ld", context=context))
    return json.dumps(_ordered(document), indent=2, ensure_ascii=False)


def _ordered(value: Any) -> Any:
    """Return JSON-LD in an order of its own, so that the same records give the same document; its lists are sets."""
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return sorted((_ordered(one) for one in value), key=json.dumps)
    return value


def dataset_graph(dataset: Dataset, version: Version | None, address: Address) -> Graph:
    """Return one dataset, with its latest version."""
    graph = new_graph()
    _add_dataset(graph, dataset, version, address)
    return graph


def catalogue_graph(found: Sequence[tuple[Dataset, Version | None]], page: Page, this: str, address: Address) -> Graph:
    """Return one page of the catalogue, as a collection that a harvester can follow from page to page.

    Args:
        found: the datasets of this page.
        page: which page it is.
        this: address of the export without its page, such as ``…/catalog/dcat-ap.ttl``.
        address: of everything in the lab.
    """
    graph = new_graph()
    catalogue = URIRef(address.catalogue)
    graph.add((catalogue, RDF.type, DCAT.Catalog))
    graph.add((catalogue, DCTERMS.title, Literal("Datalab catalogue", "en")))
    graph.add(
        (catalogue, DCTERMS.description, Literal("Datasets that can be asked for, downloaded or trained on.", "en"))
    )
    publisher = URIRef(f"{address.catalogue}#publisher")
    graph.add((publisher, RDF.type, FOAF.Agent))
    graph.add((publisher, FOAF.name, Literal("The data lab")))
    graph.add((catalogue, DCTERMS.publisher, publisher))
    _add_law(graph, catalogue, words.EHDS)
    for dataset, version in found:
        graph.add((catalogue, DCAT.dataset, _add_dataset(graph, dataset, version, address)))
    _add_paging(graph, catalogue, page, this)
    return graph


def _add_paging(graph: Graph, catalogue: URIRef, page: Page, this: str) -> None:
    def at(number: int) -> URIRef:
        return URIRef(f"{this}?page={number}")

    graph.add((at(page.number), RDF.type, HYDRA.PartialCollectionView))
    graph.add((at(page.number), RDF.type, HYDRA.PagedCollection))  # its former name, which CKAN's harvester looks for
    graph.add((at(page.number), HYDRA.totalItems, Literal(page.total, datatype=XSD.nonNegativeInteger)))
    graph.add((catalogue, HYDRA.view, at(page.number)))
    links = {HYDRA.first: 1, HYDRA.last: page.pages}
    if page.number > 1:
        links[HYDRA.previous] = page.number - 1
    if page.number < page.pages:
        links[HYDRA.next] = page.number + 1
    for link, number in links.items():
        graph.add((at(page.number), link, at(number)))


def _add_dataset(graph: Graph, dataset: Dataset, version: Version | None, address: Address) -> URIRef:
    node = URIRef(address.dataset(dataset.id))
    graph.add((node, RDF.type, DCAT.Dataset))
    graph.add((node, DCTERMS.identifier, Literal(str(node))))
    graph.add((node, DCAT.landingPage, _term(graph, address.page(dataset.id), FOAF.Document)))
    _add_texts(graph, node, dataset)
    _add_people(graph, node, dataset)
    _add_coverage(graph, node, dataset)
    rights = "NON_PUBLIC" if is_non_public(dataset) else dataset.access.upper()
    graph.add((node, DCTERMS.accessRights, _term(graph, words.ACCESS + rights, DCTERMS.RightsStatement)))
    graph.add((node, DCTERMS.issued, Literal(dataset.created)))
    graph.add((node, DCTERMS.modified, Literal(dataset.updated)))
    theme = _term(graph, words.THEME + dataset.theme, SKOS.Concept, words.THEMES[dataset.theme])
    graph.add((node, DCAT.theme, theme))
    if dataset.data_class == "personal":
        _add_law(graph, node, words.GDPR)
        personal = _term(graph, words.DATASET_TYPE + "PERSONAL_DATA", SKOS.Concept, "Personal data")
        graph.add((node, DCTERMS.type, personal))
    if dataset.dataset_type:
        graph.add((node, DCTERMS.type, _term(graph, dataset.dataset_type, SKOS.Concept, "Kind of dataset")))
    if applies(dataset, "healthdcat-ap"):
        _add_health(graph, node, dataset, version)
    if version is not None:
        graph.add((node, DCAT.version, Literal(str(version.number))))
        _add_distributions(graph, node, dataset, version, address)
    return node


def _add_texts(graph: Graph, node: URIRef, dataset: Dataset) -> None:
    """Add title, description and keywords, in every language that there are."""
    texts: list[tuple[str, Dataset | Translation]] = [(dataset.language, dataset), *dataset.translations.items()]
    for language, text in texts:
        graph.add((node, DCTERMS.title, Literal(text.title, language)))
        if text.description:
            graph.add((node, DCTERMS.description, Literal(text.description, language)))
        for keyword in text.keywords:
            graph.add((node, DCAT.keyword, Literal(keyword, language)))
    if dataset.provenance:
        provenance = URIRef(f"{node}#provenance")
        graph.add((provenance, RDF.type, DCTERMS.ProvenanceStatement))
        graph.add((provenance, RDFS.label, Literal(dataset.provenance, dataset.language)))
        graph.add((node, DCTERMS.provenance, provenance))


def _add_people(graph: Graph, node: URIRef, dataset: Dataset) -> None:
    """Add the data holder as the publisher, and whom to ask."""
    publisher = URIRef(f"{node}#publisher")
    graph.add((publisher, RDF.type, FOAF.Agent))
    graph.add((publisher, FOAF.name, Literal(dataset.holder_name)))
    graph.add((node, DCTERMS.publisher, publisher))
    if dataset.contact:
        contact = _contact(graph, f"{node}#contact", dataset.contact)
        graph.add((node, DCAT.contactPoint, contact))
        graph.add((publisher, DCAT.contactPoint, contact))


def _add_coverage(graph: Graph, node: URIRef, dataset: Dataset) -> None:
    for country in dataset.spatial:
        if country in words.COUNTRIES:
            place = _term(graph, words.COUNTRY + words.COUNTRIES[country], DCTERMS.Location)
        else:
            place = _term(graph, f"{node}#place-{country}", DCTERMS.Location)
            graph.add((place, RDFS.label, Literal(country)))
        graph.add((node, DCTERMS.spatial, place))
    if dataset.temporal:
        graph.add((node, DCTERMS.temporal, _period(graph, f"{node}#temporal", dataset.temporal)))


def _add_health(graph: Graph, node: URIRef, dataset: Dataset, version: Version | None) -> None:
    """Add what HealthDCAT-AP knows beyond DCAT-AP."""
    _add_law(graph, node, words.EHDS)
    for category in dataset.health_categories:
        label = words.HEALTH_CATEGORIES.get(category.removeprefix(words.HEALTH_CATEGORY))
        graph.add((node, HEALTH.healthCategory, _term(graph, category, SKOS.Concept, label)))
    for theme in dataset.health_themes:
        graph.add((node, HEALTH.healthTheme, URIRef(theme)))
    for system in dataset.code_systems:
        graph.add((node, HEALTH.hasCodingSystem, URIRef(system)))
    if dataset.population:
        graph.add((node, HEALTH.populationCoverage, Literal(dataset.population, dataset.language)))
    _add_numbers(graph, node, dataset, version)
    _add_governance(graph, node, dataset)
    if dataset.analytics:
        analysis = URIRef(f"{node}#analytics")
        graph.add((analysis, RDF.type, DCAT.Distribution))
        graph.add((analysis, DCAT.accessURL, URIRef(dataset.analytics)))
        _add_law(graph, analysis, words.EHDS)
        graph.add((node, HEALTH.analytics, analysis))


def _add_numbers(graph: Graph, node: URIRef, dataset: Dataset, version: Version | None) -> None:
    """Add ages, people and records; a number of people or records below the disclosure threshold is left out."""
    told = dataset.individuals
    if told and version and told < version.report.disclosure_threshold:
        told = None
    numbers = {
        HEALTH.minTypicalAge: dataset.min_age,
        HEALTH.maxTypicalAge: dataset.max_age,
        HEALTH.numberOfUniqueIndividuals: told,
        HEALTH.numberOfRecords: version.public.rows if version else None,
    }
    for name, number in numbers.items():
        if number is not None:
            graph.add((node, name, Literal(number, datatype=XSD.nonNegativeInteger)))


def _add_governance(graph: Graph, node: URIRef, dataset: Dataset) -> None:
    """Add who decides on requests, for which purposes, on what legal basis, and how long the data is kept."""
    if dataset.hdab:
        body = URIRef(f"{node}#hdab")
        graph.add((body, RDF.type, FOAF.Agent))
        graph.add((body, FOAF.name, Literal(dataset.hdab.name)))
        graph.add((body, DCAT.contactPoint, _contact(graph, f"{body}-contact", dataset.hdab.contact)))
        graph.add((node, HEALTH.hdab, body))
    if dataset.retention:
        graph.add((node, HEALTH.retentionPeriod, _period(graph, f"{node}#retention", dataset.retention)))
    for letter in dataset.purposes:
        graph.add((node, DPV.hasPurpose, _term(graph, words.purpose(letter), DPV.Purpose, words.PURPOSES[letter])))
    if dataset.legal_basis:
        basis = URIRef(f"{node}#legal-basis")
        graph.add((basis, RDF.type, DPV.LegalBasis))
        graph.add((basis, RDFS.label, Literal(dataset.legal_basis)))
        graph.add((node, DPV.hasLegalBasis, basis))


def _add_distributions(graph: Graph, node: URIRef, dataset: Dataset, version: Version, address: Address) -> None:
    """Add a distribution for each file that may be fetched, or else one that leads to the version's description."""
    here = address.version(dataset.id, version.number)
    files = () if is_non_public(dataset) else version.files
    for index in range(len(files) or 1):
        part = URIRef(f"{here}#file-{index}" if files else f"{here}#distribution")
        graph.add((node, DCAT.distribution, part))
        graph.add((part, RDF.type, DCAT.Distribution))
        graph.add((part, DCAT.accessURL, URIRef(here)))
        graph.add((part, DCTERMS.issued, Literal(version.created)))
        graph.add((part, DCTERMS["format"], _term(graph, words.FILE_TYPE + "PARQUET", DCTERMS.MediaTypeOrExtent)))
        media = _term(graph, words.MEDIA_TYPE + "application/vnd.apache.parquet", DCTERMS.MediaType)
        graph.add((part, DCAT.mediaType, media))
        offer = _term(graph, address.offer(dataset.id), ODRL.Policy)
        graph.add((part, ODRL.hasPolicy, offer))
        if dataset.licence:
            graph.add((part, DCTERMS.license, _licence(graph, part, dataset.licence)))
        if applies(dataset, "healthdcat-ap"):
            _add_law(graph, part, words.EHDS)
        if files:
            _add_file(graph, part, address.download(dataset.id, version.number, index), files[index].bytes)
            checksum = URIRef(f"{part}-checksum")
            graph.add((checksum, RDF.type, SPDX.Checksum))
            graph.add((checksum, SPDX.algorithm, SPDX.checksumAlgorithm_sha256))
            graph.add((checksum, SPDX.checksumValue, Literal(files[index].sha256, datatype=XSD.hexBinary)))
            graph.add((part, SPDX.checksum, checksum))


def _add_file(graph: Graph, part: URIRef, download: str, size: int) -> None:
    graph.add((part, DCAT.downloadURL, URIRef(download)))
    graph.add((part, DCAT.byteSize, Literal(size, datatype=XSD.nonNegativeInteger)))


def _term(graph: Graph, iri: str, kind: URIRef, label: str | None = None) -> URIRef:
    """Return a word of a vocabulary; its class stands in the graph, since nobody can look it up offline."""
    term = URIRef(iri)
    graph.add((term, RDF.type, kind))
    if label:
        graph.add((term, SKOS.prefLabel, Literal(label, "en")))
    return term


def _add_law(graph: Graph, node: URIRef, law: str) -> None:
    graph.add((node, DCATAP.applicableLegislation, _term(graph, law, ELI.LegalResource)))


def _licence(graph: Graph, part: URIRef, licence: str) -> URIRef:
    """Return a licence by its SPDX address, or an expression of several as it is written."""
    if address := words.licence_address(licence):
        return _term(graph, address, DCTERMS.LicenseDocument)
    written = _term(graph, f"{part}-licence", DCTERMS.LicenseDocument)
    graph.add((written, RDFS.label, Literal(licence)))
    return written


def _contact(graph: Graph, iri: str, contact: Contact) -> URIRef:
    node = URIRef(iri)
    graph.add((node, RDF.type, VCARD.Kind))
    graph.add((node, VCARD.fn, Literal(contact.name)))
    if contact.email:
        graph.add((node, VCARD.hasEmail, URIRef(f"mailto:{contact.email}")))
    if contact.url:
        graph.add((node, VCARD.hasURL, URIRef(contact.url)))
    return node


def _period(graph: Graph, iri: str, period: Period) -> URIRef:
    node = URIRef(iri)
    graph.add((node, RDF.type, DCTERMS.PeriodOfTime))
    if period.start:
        graph.add((node, DCAT.startDate, Literal(period.start)))
    if period.end:
        graph.add((node, DCAT.endDate, Literal(period.end)))
    return node
