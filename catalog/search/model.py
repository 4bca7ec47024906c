"""What is asked of the search, and what it answers; nothing here needs the index."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from catalog.harvest.records import RemoteEntry
from catalog.records import Dataset, Number, Record

Facet = Literal["country", "holder", "theme", "access", "modality", "licence", "extent", "use", "source"]
FACETS: tuple[Facet, ...] = ("country", "holder", "theme", "access", "modality", "licence", "extent", "use", "source")
"""By what a search can be narrowed; ``use`` is ``download`` or ``federated``, ``source`` is ``here`` or a catalogue."""
Extent = Literal["under-1000", "1000-9999", "10000-99999", "100000-999999", "from-1000000"]
"""How many rows the latest version has, as far as everybody may know."""
VALUE = r"^[A-Za-z0-9._+() -]+$"
Value = Annotated[str, Field(max_length=200, pattern=VALUE)]
"""A facet's value: a code, an identifier, or an SPDX expression; none has other characters."""
Sort = Literal["relevance", "title", "updated", "rows"]
MAX_PAGE, MAX_SIZE = 200, 100


class SearchQuery(Record):
    """A search; the same one on the same catalog gives the same answer.

    Attributes:
        text: words, of which each has to be found in one way or another; empty finds all.
        filters: per facet the values of which a dataset must have one.
        sort: ``relevance`` (without words: by title), or title ascending, updated or rows descending.
        page: from 1.
        size: datasets on a page.
    """

    text: Annotated[str, Field(max_length=300)] = ""
    filters: dict[Facet, Annotated[tuple[Value, ...], Field(min_length=1, max_length=100)]] = Field(
        default_factory=dict
    )
    sort: Sort = "relevance"
    page: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1
    size: Annotated[int, Field(ge=1, le=MAX_SIZE)] = 20


class RemoteHit(Record):
    """A dataset of another catalogue that was found: described here, and asked for there."""

    remote: RemoteEntry


class Hit(Record):
    """A dataset that was found, with what its latest version says (None where there is none, or it is withheld)."""

    dataset: Dataset
    version: Number | None = None
    rows: int | None = None
    checks: int | None = None
    checks_passed: int | None = None


class FacetCount(Record):
    """How many of the datasets that are found (this facet's own filter apart) have a value."""

    value: str
    count: int


class SearchPage(Record):
    """One page of what was found.

    Attributes:
        total: how many datasets were found.
        page: which page this is.
        pages: how many there are, of those that can be asked for.
        hits: the datasets of this page.
        facets: per facet the values with their counts, the most frequent first.
    """

    total: int
    page: int
    pages: int
    hits: tuple[Hit | RemoteHit, ...]
    facets: dict[Facet, tuple[FacetCount, ...]]

    @property
    def own(self) -> tuple[Hit, ...]:
        """Those of the hits that are this lab's datasets."""
        return tuple(hit for hit in self.hits if isinstance(hit, Hit))
