"""From words and filters to tantivy's queries.

Each word may be found in several ways, each with its weight: as it is written, by its stem in any of the languages, as
the beginning of a word, with one or two letters wrong, as a part of a compound ("krebs" in "Brustkrebsregister"), and,
being a compound itself, by its parts ("Brustkrebsregister" in "Register für Brustkrebs").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from tantivy import Occur, Query, Schema, Searcher

from catalog.search.model import Facet
from catalog.search.text import LANGUAGES, grams, stem, words_of

TITLE, WORD, STEM, PREFIX, COMPOUND, PARTS, FUZZY = 6.0, 3.0, 2.0, 1.0, 0.8, 0.6, 0.3
SHORTEST_PART = 4
_MAX_WORDS = 12
LONGEST_COMPOUND = 40
LONG = 7
"""Letters from which on two may be wrong."""
_LINKS = ("", "s", "es", "n", "en", "nen")
"""What German puts between the parts of a compound."""


def words(schema: Schema, searcher: Searcher, text: str) -> list[Query]:
    """Return, for each word of ``text``, what finds it in any of its ways."""
    return [_word(schema, searcher, word) for word in words_of(text)[:_MAX_WORDS]]


def narrowed(
    schema: Schema, words: Sequence[Query], filters: Mapping[Facet, Sequence[str]], *, every: bool = True
) -> Query:
    """Return the query for all of ``words``, or for any of them, among what the filters leave."""
    wanted = [*words] if every else [_either(words)]
    narrow = [Query.const_score_query(_any_of(schema, facet, values), 0.0) for facet, values in filters.items()]
    return _all([*(wanted or [Query.all_query()]), *narrow])


def filtered(filters: Mapping[Facet, Sequence[str]]) -> str:
    """Return what the filters leave, in the words of tantivy's query language; values have nothing that it takes up."""
    either = (" OR ".join(f'{facet}:"{value}"' for value in values) for facet, values in filters.items())
    return " AND ".join(f"({one})" for one in either) or "*"


def _word(schema: Schema, searcher: Searcher, word: str) -> Query:
    ways = [
        _weighted(Query.term_query(schema, "title", word, index_option="freq"), TITLE),
        _weighted(Query.term_query(schema, "words", word, index_option="freq"), WORD),
        *(
            _weighted(
                Query.term_query(schema, f"stem_{one}", stem(word, one), index_option="freq"), STEM / len(LANGUAGES)
            )
            for one in LANGUAGES
        ),
    ]
    if len(word) >= 2:
        ways.append(_weighted(Query.fuzzy_term_query(schema, "words", word, 0, prefix=True), PREFIX))
    if len(word) >= SHORTEST_PART:
        ways.append(_weighted(_inside(schema, word), COMPOUND))
        distance = 1 if len(word) < LONG else 2
        ways.append(_weighted(Query.fuzzy_term_query(schema, "words", word, distance), FUZZY))
    if parts := split(word, lambda part: _known(schema, searcher, part)):
        ways.append(_weighted(_all([_inside(schema, part) for part in parts]), PARTS))
    return _either(ways)


def split(word: str, known: Callable[[str], bool]) -> list[str]:
    """Return the two or more known words that a compound consists of; empty if it does not, or is very long."""

    @cache
    def is_known(part: str) -> bool:
        return known(part)

    @cache
    def parts(rest: str) -> tuple[str, ...]:
        for at in range(len(rest) - SHORTEST_PART, SHORTEST_PART - 1, -1):
            head, tail = rest[:at], rest[at:]
            for link in _LINKS:
                first = head.removesuffix(link) if link else head
                if (link and first == head) or len(first) < SHORTEST_PART or not is_known(first):
                    continue
                if is_known(tail):
                    return first, tail
                if further := parts(tail):
                    return first, *further
        return ()

    return list(parts(word)) if len(word) <= LONGEST_COMPOUND else []


def _known(schema: Schema, searcher: Searcher, part: str) -> bool:
    """Whether words of the catalog begin with ``part``, or have it inside them."""
    return bool(searcher.terms_with_prefix("words", part, limit=1)) or bool(
        searcher.search(_inside(schema, part), 1, count=False).hits
    )


def _inside(schema: Schema, word: str) -> Query:
    """Find a word inside others: all its pieces of three letters are there, weighed the same however rare they are."""
    pieces = _all(
        [Query.term_query(schema, "grams", gram, index_option="basic") for gram in dict.fromkeys(grams(word))]
    )
    return Query.const_score_query(pieces, 1.0)


def _any_of(schema: Schema, facet: Facet, values: Iterable[str]) -> Query:
    return Query.term_set_query(schema, facet, list(values))


def _weighted(query: Query, weight: float) -> Query:
    return Query.boost_query(query, weight)


def _all(queries: Iterable[Query]) -> Query:
    return Query.boolean_query([(Occur.Must, one) for one in queries])


def _either(queries: Iterable[Query]) -> Query:
    return Query.boolean_query([(Occur.Should, one) for one in queries])
