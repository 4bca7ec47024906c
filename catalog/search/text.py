"""How text is cut into words: as it is written, by its stem in each language, and into pieces of three letters."""

from __future__ import annotations

from functools import cache
from typing import Final

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

LANGUAGES: Final = {"en": "english", "de": "german", "fr": "french"}
GRAM: Final = 3
_STOPWORDS: Final = frozenset(
    """a an and are as at by for from in into is of on or that the their to was were which with
    aus bei das dem den der des die ein eine einem einen einer fur im ist mit oder sind uber und vom von zu zum zur
    au aux avec ce ces dans de des du en est et la le les leur ou par pour sans sur un une""".split()  # noqa: SIM905
)
"""Words that say nothing about a dataset, without accents."""


@cache
def analyzers() -> dict[str, TextAnalyzer]:
    """Return the analyzers by the names under which the index knows them."""
    stems = {
        f"stem_{code}": _start(Tokenizer.simple()).filter(Filter.stemmer(name)).filter(Filter.ascii_fold()).build()
        for code, name in LANGUAGES.items()
    }
    return {
        "words": _start(Tokenizer.simple()).filter(Filter.ascii_fold()).build(),
        "grams": _start(Tokenizer.ngram(GRAM, GRAM, prefix_only=False)).filter(Filter.ascii_fold()).build(),
        **stems,
    }


def _start(tokenizer: Tokenizer) -> TextAnalyzerBuilder:
    return TextAnalyzerBuilder(tokenizer).filter(Filter.remove_long(80)).filter(Filter.lowercase())


def words_of(text: str) -> list[str]:
    """Return the words that are searched for: folded, without those that say nothing, unless there are no others."""
    words = analyzers()["words"].analyze(text)
    return [word for word in words if word not in _STOPWORDS] or words


def stem(word: str, language: str) -> str:
    """Return a word's stem in a language (a code of ``LANGUAGES``)."""
    (found, *_) = analyzers()[f"stem_{language}"].analyze(word) or [word]
    return str(found)


def grams(word: str) -> list[str]:
    """Return the pieces of three letters that a folded word consists of, in order."""
    return [word[at : at + GRAM] for at in range(len(word) - GRAM + 1)]
