"""The official SHACL shapes, read from the folder of standards beside the project; offline, without imports."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from pyshacl import validate
from rdflib import OWL, RDF, Graph, URIRef

STANDARDS = next(
    (
        folder / "shared" / "standards"
        for folder in Path(__file__).parents
        if (folder / "shared" / "standards").is_dir()
    ),
    None,
)
needs_shapes = pytest.mark.skipif(STANDARDS is None, reason="the folder shared/standards is not beside the project")
Profile = Literal["dcat-ap", "healthdcat-ap"]
_DCAT_AP = ("dcat-ap-3.0.1/shapes.ttl", "dcat-ap-3.0.1/range.ttl")
_FILES: dict[Profile, tuple[str, ...]] = {
    "dcat-ap": _DCAT_AP,
    "healthdcat-ap": ("healthdcat-ap/healthdcatap-shacl.ttl", *_DCAT_AP),  # the first says that it imports the others
}


@cache
def shapes(profile: Profile) -> Graph:
    """The shapes of a profile."""
    assert STANDARDS is not None
    graph = Graph()
    for name in _FILES[profile]:
        graph.parse(STANDARDS / name)
    graph.remove((None, OWL.imports, None))
    return graph


def violations(graph: Graph, profile: Profile) -> str:
    """What is wrong with a graph by the shapes of a profile, in words; nothing where it conforms.

    The shapes have nothing against a graph without any dataset; we have.
    """
    if (None, RDF.type, URIRef("http://www.w3.org/ns/dcat#Dataset")) not in graph:
        return "no dataset"
    conforms, _, text = validate(graph, shacl_graph=shapes(profile), inference="none", do_owl_imports=False)
    return "" if conforms else str(text)
