"""From bytes to triples, with nothing fetched, nothing expanded and nothing without bound."""

from __future__ import annotations

import json
from typing import Any
from xml.parsers import expat

from rdflib import Graph

MAX_TRIPLES = 200_000
"""Of one page; so many take some twenty seconds."""


class UnreadableError(Exception):
    """A document that is not read; the message is one sentence, with nothing out of the document."""


class _Bounded(Graph):
    """A graph that takes so many triples and no more."""

    def add(self, triple: Any) -> _Bounded:
        """Add a triple."""
        if len(self) >= MAX_TRIPLES:
            raise UnreadableError(f"It has more than {MAX_TRIPLES:,} statements.")
        super().add(triple)
        return self


def parse(data: bytes, form: str, base: str) -> Graph:
    """Return the graph of a document.

    Args:
        data: the document.
        form: ``turtle``, ``json-ld`` or ``xml``.
        base: the address from which it names things relatively.

    Raises:
        UnreadableError: it is not what it says, is too large, or would have something else fetched or expanded.
    """
    if form == "json-ld":
        _check_contexts(data)
    if form == "xml":
        _check_no_declarations(data)
    graph = _Bounded(bind_namespaces="none")
    try:
        graph.parse(data=data, format=form, publicID=base)
    except UnreadableError:
        raise
    except RecursionError as error:
        raise UnreadableError("It is nested too deeply.") from error
    except Exception as error:  # a parser raises what it likes, and whatever it is, the document caused it
        line = getattr(error, "lines", None) or getattr(error, "getLineNumber", lambda: None)()
        where = f", line {line + 1 if form == 'turtle' else line}" if isinstance(line, int) else ""
        raise UnreadableError(f"It is not readable as {form} ({type(error).__name__}{where}).") from error
    if len(graph) > MAX_TRIPLES:  # JSON-LD goes past ``add``
        raise UnreadableError(f"It has more than {MAX_TRIPLES:,} statements.")
    return graph


def _check_contexts(data: bytes) -> None:
    """Refuse JSON-LD that names a context elsewhere: it would be fetched, from wherever the document says."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"It is not JSON ({type(error).__name__}).") from error
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            context = one.get("@context")
            named = isinstance(context, str) or (
                isinstance(context, list) and any(isinstance(part, str) for part in context)
            )
            if named or "@import" in one:
                raise UnreadableError("It names a context elsewhere, which is not fetched: it has to stand in it.")
            waiting += one.values()


def _check_no_declarations(data: bytes) -> None:
    """Refuse XML with a document type: entities can be made to grow without bound, or to read files."""
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise UnreadableError("It declares a document type (DOCTYPE), and entities are not expanded.")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise UnreadableError(f"It is not XML (line {error.lineno}).") from error
