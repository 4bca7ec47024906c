"""From triples to datasets: what DCAT-AP 3 says of each, in the fields of ``catalog.harvest.records.Description``.

It runs in the reader's process, on a graph that strangers wrote; what comes out is plain JSON, of bounded texts, that
the lab server checks field by field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rdflib import DCTERMS, FOAF, RDF, RDFS, BNode, Graph, Literal, Namespace, URIRef
from rdflib.term import Node

from catalog.harvest.parsing import UnreadableError
from catalog.standards import vocabulary as words

DCAT = Namespace("http://www.w3.org/ns/dcat#")
HYDRA = Namespace("http://www.w3.org/ns/hydra/core#")
VCARD = Namespace("http://www.w3.org/2006/vcard/ns#")
_LINE, _PROSE, _KEYWORDS, _LANGUAGES = 300, 10_000, 50, ("en", "de", "fr")
_MAX_DATASETS = 20_000
_ACCESS = {"PUBLIC": "public", "RESTRICTED": "restricted", "NON_PUBLIC": "non-public"}
_LICENCE = f"{words.AUTHORITY}/licence/"
_LICENCES = {
    "CC0": "CC0-1.0", "CC_BY_4_0": "CC-BY-4.0", "CC_BYSA_4_0": "CC-BY-SA-4.0", "CC_BYNC_4_0": "CC-BY-NC-4.0",
    "CC_BYND_4_0": "CC-BY-ND-4.0", "CC_BYNCSA_4_0": "CC-BY-NC-SA-4.0", "CC_BYNCND_4_0": "CC-BY-NC-ND-4.0",
    "CC_BY_3_0": "CC-BY-3.0", "ODC_BY": "ODC-By-1.0", "ODC_BL": "ODbL-1.0", "ODC_PDDL": "PDDL-1.0",
    "EUPL_1_2": "EUPL-1.2",
}  # fmt: skip
"""Codes of the EU licence vocabulary, as SPDX names them."""


def read(graph: Graph) -> dict[str, Any]:
    """Return what a page of a catalogue says: its datasets, what is wrong with others, and where the next page is.

    Raises:
        UnreadableError: there are more datasets than one page may have.
    """
    listed = {node for node in graph.objects(None, DCAT.dataset) if (node, None, None) in graph}
    nodes = _sorted(listed | {*graph.subjects(RDF.type, DCAT.Dataset)})
    if len(nodes) > _MAX_DATASETS:
        raise UnreadableError(f"It has more than {_MAX_DATASETS:,} datasets.")
    entries, problems = [], []
    for node in nodes:
        uri = _uri(graph, node)
        if uri is None:
            named = _texts(graph, node, DCTERMS.title, _LINE)
            told = next(iter(named.values()), ["a dataset without a title"])[0]
            problems.append({"entry": told, "what": "It has no address that it keeps (URI or dct:identifier)."})
        elif not _texts(graph, node, DCTERMS.title, _LINE):
            problems.append({"entry": _clean(uri, _LINE), "what": "It has no title (dct:title)."})
        else:
            entries.append(_dataset(graph, node, uri))
    return {"entries": entries, "problems": problems, "following": _following(graph), "total": _total(graph)}


def _dataset(graph: Graph, node: Node, uri: str) -> dict[str, Any]:
    titles = _texts(graph, node, DCTERMS.title, _LINE)
    descriptions = _texts(graph, node, DCTERMS.description, _PROSE, lines=True)
    keywords = _texts(graph, node, DCAT.keyword, _LINE)
    tags = [one for one in _LANGUAGES if one in titles] or sorted(titles)
    own = tags[0] if tags else ""
    said: dict[str, Any] = {
        "uri": uri,
        "title": titles.get(own, [""])[0],
        "description": _first(descriptions, own),
        "keywords": _keywords(keywords, own) or _keywords(keywords, ""),
        "language": own if own in _LANGUAGES else None,
        "translations": {
            tag: {
                "title": titles[tag][0],
                "description": descriptions.get(tag, [""])[0],
                "keywords": _keywords(keywords, tag),
            }
            for tag in tags[1:]
            if tag in _LANGUAGES
        },
        "publisher": _name(graph, graph.objects(node, DCTERMS.publisher)),
        "themes": _codes(graph.objects(node, DCAT.theme), words.THEME, words.THEMES),
        "licence": _licence(graph, node),
        "access": next(
            (_ACCESS[one] for one in _codes(graph.objects(node, DCTERMS.accessRights), words.ACCESS, _ACCESS)), None
        ),
        "ask_at": _page(graph, node) or uri,
        "contact": _contact(graph, node),
        "issued": _moment(graph, node, DCTERMS.issued),
        "modified": _moment(graph, node, DCTERMS.modified),
    }
    return said


def _uri(graph: Graph, node: Node) -> str | None:
    if not isinstance(node, BNode) and (own := _web(node)):
        return own
    return next((found for one in _sorted(graph.objects(node, DCTERMS.identifier)) if (found := _web(one))), None)


def _texts(graph: Graph, node: Node, name: URIRef, longest: int, *, lines: bool = False) -> dict[str, list[str]]:
    """Return the texts of a property by language (``de`` for ``de-AT``, nothing where none is said), in order."""
    found: dict[str, list[str]] = {}
    for one in _sorted(graph.objects(node, name)):
        if isinstance(one, Literal) and (text := _clean(str(one), longest, lines=lines)):
            found.setdefault((one.language or "").partition("-")[0].lower(), []).append(text)
    return found


def _first(texts: dict[str, list[str]], language: str) -> str:
    for tag in (language, "", *_LANGUAGES, *sorted(texts)):
        if tag in texts:
            return texts[tag][0]
    return ""


def _keywords(texts: dict[str, list[str]], language: str) -> list[str]:
    return list(dict.fromkeys(texts.get(language, [])))[:_KEYWORDS]


def _clean(text: str, longest: int, *, lines: bool = False) -> str:
    """Return a text without control characters, cut with an ellipsis where it is longer than a record takes."""
    if lines:
        text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    else:
        text = re.sub(r"[\x00-\x20\x7f]+", " ", text).strip()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _name(graph: Graph, nodes: Iterable[Node]) -> str | None:
    for node in _sorted(nodes):
        if isinstance(node, Literal):
            return _clean(str(node), _LINE) or None
        for name in (FOAF.name, VCARD.fn, VCARD["organization-name"], RDFS.label):
            texts = _texts(graph, node, name, _LINE)
            if texts:
                return _first(texts, "en")
    return None


def _codes(nodes: Iterable[Node], stem: str, known: Iterable[str]) -> list[str]:
    codes = {str(node).removeprefix(stem) for node in nodes if str(node).startswith(stem)}
    return sorted(codes & set(known))


def _licence(graph: Graph, node: Node) -> str | None:
    """Return the licence of a dataset, or of the first of its distributions that has one."""
    for holder in (node, *_sorted(graph.objects(node, DCAT.distribution))):
        for one in _sorted(graph.objects(holder, DCTERMS.license)):
            if isinstance(one, Literal):
                return _clean(str(one), _LINE) or None
            if named := _spdx(str(one)):
                return named
            label = _texts(graph, one, RDFS.label, _LINE) or _texts(graph, one, DCTERMS.title, _LINE)
            return _first(label, "en") or _web(one)
    return None


def _spdx(address: str) -> str | None:
    if found := re.fullmatch(
        r"https?://(?:www\.)?spdx\.org/licenses/([A-Za-z0-9.+-]{1,60}?)(?:\.(?:html|json))?/?", address
    ):
        return found[1]
    if address.startswith(_LICENCE):
        return _LICENCES.get(address.removeprefix(_LICENCE))
    if found := re.fullmatch(
        r"https?://creativecommons\.org/licenses/(by[a-z-]*)/([1-4]\.0)/?(?:deed.*|legalcode)?", address
    ):
        return f"CC-{found[1].upper()}-{found[2]}"
    return "CC0-1.0" if re.fullmatch(r"https?://creativecommons\.org/publicdomain/zero/1\.0/?.*", address) else None


def _page(graph: Graph, node: Node) -> str | None:
    """Return where people ask for a dataset: its page, or where its distributions are got."""
    places = [*_sorted(graph.objects(node, DCAT.landingPage)), *_sorted(graph.objects(node, FOAF.page))]
    for distribution in _sorted(graph.objects(node, DCAT.distribution)):
        places += _sorted(graph.objects(distribution, DCAT.accessURL))
    return next((found for one in places if (found := _web(one))), None)


def _contact(graph: Graph, node: Node) -> dict[str, str] | None:
    for one in _sorted(graph.objects(node, DCAT.contactPoint)):
        name = _name(graph, [one])
        mails = [str(mail).removeprefix("mailto:") for mail in _sorted(graph.objects(one, VCARD.hasEmail))]
        pages = [found for page in _sorted(graph.objects(one, VCARD.hasURL)) if (found := _web(page))]
        said = {"name": name or ""}
        if mails and re.fullmatch(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,180}", mails[0]):
            said["email"] = mails[0]
        if pages:
            said["url"] = pages[0]
        if name and len(said) > 1:
            return said
    return None


def _moment(graph: Graph, node: Node, name: URIRef) -> str | None:
    found = [str(one) for one in graph.objects(node, name)]
    dates = sorted(
        one for one in found if re.fullmatch(r"[0-9]{4}(-[0-9]{2}){0,2}(T[0-9:.]{5,20}(Z|[+-][0-9:]{5})?)?", one)
    )
    return dates[-1] if dates else None


def _following(graph: Graph) -> str | None:
    """Return the address of the next page, as Hydra names it now or did before."""
    for name in (HYDRA.next, HYDRA.nextPage):
        for one in _sorted(graph.objects(None, name)):
            if found := _web(one):
                return found
    return None


def _total(graph: Graph) -> int | None:
    found = [str(one) for one in graph.objects(None, HYDRA.totalItems)]
    return int(found[0]) if len(found) == 1 and re.fullmatch(r"[0-9]{1,9}", found[0]) else None


def _web(node: Node) -> str | None:
    """Return an address of the web as a record takes it, or None."""
    text = str(node)
    return text if len(text) <= 1000 and re.fullmatch(r"https?://[^\s<>\"{}|\\^`\x00-\x20]+", text) else None


def _sorted(nodes: Iterable[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: (str(node), str(getattr(node, "language", ""))))
