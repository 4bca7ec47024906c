"""How good the search is: recall among the first ten, over the committed set."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from catalog.records import DatasetDraft
from catalog.search.index import SearchIndex
from catalog.search.model import SearchQuery
from tests.unit.catalog.examples import anonymous

FOLDER = Path(__file__).parent
FIRST = 10


@dataclass(frozen=True)
class Judged:
    """A search and what it has to find."""

    language: str
    kind: str
    query: str
    relevant: frozenset[str]


def datasets() -> list[DatasetDraft]:
    """Return the datasets of the set."""
    return [
        anonymous(
            id=row["id"],
            language=row["language"],
            country=row["country"],
            title=row["title"],
            keywords=tuple(one.strip() for one in row["keywords"].split(";")),
            description=row["description"],
            holder=f"holder-{row['country'].lower()}",
            holder_name=f"Institute of {row['country']}",
        )
        for row in _rows("datasets.tsv")
    ]


def queries() -> list[Judged]:
    """Return the searches of the set."""
    return [
        Judged(row["language"], row["kind"], row["query"], frozenset(row["relevant"].split()))
        for row in _rows("queries.tsv")
    ]


def recall(index: SearchIndex, judged: Judged) -> float:
    """Return which share of what it has to find a search finds among the first ten."""
    page = index.search(SearchQuery(text=judged.query, size=FIRST), lambda _: True)
    found = {hit.dataset.id for hit in page.own}
    return len(found & judged.relevant) / min(FIRST, len(judged.relevant))


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
