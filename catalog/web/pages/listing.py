"""Finding datasets for the list: words, filters with counts, order, pages.

It looks through all records, which does for some thousands of datasets; a search index can take its place behind the
same function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from catalog import datasets
from catalog.lab import Lab
from catalog.records import AccountDraft, Dataset, Version

PER_PAGE = 20
FACETS = ("access", "data_class", "theme", "country", "holder", "licence")
"""Fields of a dataset that the list can be narrowed by."""
SORTS = ("title", "updated", "rows")
_MOST_VALUES = 12


@dataclass(frozen=True)
class Hit:
    """A dataset in the list, with its latest version as the reader may see it."""

    dataset: Dataset
    latest: Version | None

    @property
    def updated(self) -> datetime:
        """When it, or its data, last changed."""
        return max(self.dataset.updated, self.latest.created) if self.latest else self.dataset.updated

    @property
    def rows(self) -> int | None:
        """Rows of the latest version; None if there is none or it may not be told."""
        return self.latest.report.rows if self.latest else None


@dataclass(frozen=True)
class Value:
    """A value that a facet can be narrowed to, how many datasets that gives, and whether it is chosen."""

    code: str
    count: int
    chosen: bool


@dataclass(frozen=True)
class Found:
    """One page of what was found.

    Attributes:
        hits: the datasets on this page.
        total: how many were found in all.
        page: number of this page, from 1.
        pages: how many pages there are, at least 1.
        facets: values by facet, the most frequent first; a facet's own choice does not narrow its counts.
    """

    hits: Sequence[Hit]
    total: int
    page: int
    pages: int
    facets: Mapping[str, Sequence[Value]]


def find(
    lab: Lab, account: AccountDraft, query: str, filters: Mapping[str, Sequence[str]], sort: str, page: int
) -> Found:
    """Find datasets.

    Args:
        lab: the open lab.
        account: who asks; decides which counts are shown.
        query: words that must all be in a dataset's title, description, id, holder or steward.
        filters: values by facet; a dataset has one of the values of every facet that is there.
        sort: one of ``SORTS``.
        page: number of the page, from 1; one past the end gives the last.
    """
    hits = [one for one in _every(lab, account) if _has_words(one.dataset, query)]
    facets = {
        name: _values(hits, name, filters)
        for name in FACETS
        if len({_field(one, name) for one in hits}) > 1 or name in filters
    }
    found = [one for one in hits if _kept(one, filters)]
    key, descending = _ORDER.get(sort, _ORDER["title"])
    found.sort(key=_by_title)
    found.sort(key=key, reverse=descending)
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(max(page, 1), pages)
    return Found(found[(page - 1) * PER_PAGE : page * PER_PAGE], len(found), page, pages, facets)


def hit(lab: Lab, account: AccountDraft, dataset: Dataset) -> Hit:
    """Return one dataset as it stands in the list."""
    versions = datasets.versions(lab.store, dataset.id)
    return Hit(dataset, datasets.shown(versions[-1], dataset, account) if versions else None)


def _every(lab: Lab, account: AccountDraft) -> list[Hit]:
    rows = lab.store.rows(
        "SELECT d.record, v.record FROM datasets d LEFT JOIN (SELECT dataset, arg_max(record, number) AS record "
        "FROM versions GROUP BY dataset) v ON v.dataset = d.id"
    )
    found = []
    for record, latest in rows:
        dataset = Dataset.model_validate_json(record)
        version = Version.model_validate_json(latest) if latest else None
        found.append(Hit(dataset, datasets.shown(version, dataset, account) if version else None))
    return found


def _has_words(dataset: Dataset, query: str) -> bool:
    text = f"{dataset.id} {dataset.title} {dataset.description} {dataset.holder_name} {dataset.steward}".casefold()
    return all(word in text for word in query.casefold().split())


def _field(hit: Hit, name: str) -> str:
    return str(getattr(hit.dataset, name) or "")


def _kept(hit: Hit, filters: Mapping[str, Sequence[str]], *, but: str = "") -> bool:
    return all(_field(hit, name) in values for name, values in filters.items() if name != but)


def _values(hits: Sequence[Hit], name: str, filters: Mapping[str, Sequence[str]]) -> list[Value]:
    chosen = filters.get(name, ())
    counts = Counter(_field(one, name) for one in hits if _kept(one, filters, but=name))
    counts.update(dict.fromkeys(chosen, 0))
    counts.pop("", None)
    return [Value(code, count, code in chosen) for code, count in counts.most_common(_MOST_VALUES)]


def _by_title(hit: Hit) -> tuple[str, str]:
    return hit.dataset.title.casefold(), hit.dataset.id


def _by_updated(hit: Hit) -> datetime:
    return hit.updated


def _by_rows(hit: Hit) -> int:
    return -1 if hit.rows is None else hit.rows


_ORDER: dict[str, tuple[Callable[[Hit], Any], bool]] = {
    "title": (_by_title, False),
    "updated": (_by_updated, True),
    "rows": (_by_rows, True),
}
