"""The checks of a quality record in the reader's language.

Records keep what the curation engine wrote, in English, wherever it ran and however long ago: its sentences are known
here by their form. What a contract says of a rule of its own stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from catalog.web.pages.language import Language, mark

NAMES: Final[Mapping[str, str]] = {
    r"row accounting": mark("Every row accounted for"),
    r"file usable": mark("File usable"),
    r"row count": mark("Number of rows"),
    r"k-anonymity": mark("k-anonymity"),
    r"l-diversity": mark("l-diversity"),
    r"t-closeness": mark("t-closeness"),
    r"(?P<column>.+): values": mark("Values of %(column)s"),
}
RULES: Final[Mapping[str, str]] = {
    r"Each record of the raw file is a row, rejected, or excluded for a stated reason\.": mark(
        "Each record of the raw file is a row, rejected, or excluded for a stated reason."
    ),
    r"The file has the columns that the contract requires, and no others that it forbids\.": mark(
        "The file has the columns that the contract requires, and no others that it forbids."
    ),
    r"(?P<written>\d+) rows were written, (?P<read>\d+) are read back\.": mark(
        "%(written)s rows were written, %(read)s are read back."
    ),
    r"Each combination of (?P<columns>.+) has at least (?P<k>\d+) rows\.": mark(
        "Each combination of %(columns)s has at least %(k)s rows."
    ),
    r"Each class has at least (?P<l>\d+) values of (?P<columns>.+)\.": mark(
        "Each class has at least %(l)s values of %(columns)s."
    ),
    r"In each class, (?P<columns>.+) are distributed as in all rows but for (?P<t>[0-9.e-]+)\.": mark(
        "In each class, %(columns)s are distributed as in all rows but for %(t)s."
    ),
    r"(?P<column>\S+) is never missing and one of (?P<codes>.+)\.": mark(
        "%(column)s is never missing and one of %(codes)s."
    ),
    r"(?P<column>\S+) is missing or else one of (?P<codes>.+)\.": mark(
        "%(column)s is missing or else one of %(codes)s."
    ),
    r"(?P<column>\S+) is never missing and at least (?P<low>\S+) and at most (?P<high>\S+)\.": mark(
        "%(column)s is never missing, at least %(low)s and at most %(high)s."
    ),
    r"(?P<column>\S+) is missing or else at least (?P<low>\S+) and at most (?P<high>\S+)\.": mark(
        "%(column)s is missing or else at least %(low)s and at most %(high)s."
    ),
    r"(?P<column>\S+) is never missing and at least (?P<low>\S+)\.": mark(
        "%(column)s is never missing and at least %(low)s."
    ),
    r"(?P<column>\S+) is missing or else at least (?P<low>\S+)\.": mark(
        "%(column)s is missing or else at least %(low)s."
    ),
    r"(?P<column>\S+) is never missing and at most (?P<high>\S+)\.": mark(
        "%(column)s is never missing and at most %(high)s."
    ),
    r"(?P<column>\S+) is missing or else at most (?P<high>\S+)\.": mark(
        "%(column)s is missing or else at most %(high)s."
    ),
    r"(?P<column>\S+) is never missing and of type integer\.": mark("%(column)s is never missing and a whole number."),
    r"(?P<column>\S+) is missing or else of type integer\.": mark("%(column)s is missing or else a whole number."),
    r"(?P<column>\S+) is never missing and of type number\.": mark("%(column)s is never missing and a number."),
    r"(?P<column>\S+) is missing or else of type number\.": mark("%(column)s is missing or else a number."),
    r"(?P<column>\S+) is never missing and of type string\.": mark("%(column)s is never missing and a text."),
    r"(?P<column>\S+) is missing or else of type string\.": mark("%(column)s is missing or else a text."),
}


def name(language: Language, text: str) -> str:
    """Return the name of a check."""
    return _said(language, text, NAMES)


def rule(language: Language, text: str) -> str:
    """Return what a check says is so."""
    return _said(language, text, RULES)


def _said(language: Language, text: str, known: Mapping[str, str]) -> str:
    for form, words in known.items():
        if found := re.fullmatch(form, text):
            return language.words(words) % found.groupdict()
    return text
