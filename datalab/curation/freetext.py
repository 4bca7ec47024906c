"""What in a text looks as if it told who somebody is: patterns only, so that no model has to be fetched or trusted.

It finds what is written in a fixed form. A name in a sentence has none: prose is withheld whole, whatever is found.
"""

from __future__ import annotations

from datalab.curation.database import literal

PATTERNS = {
    "e-mail": r"[\w.+-]+@[\w-]+\.[\w.-]{2,}",
    "telephone": r"(\+|\b00?)[1-9][0-9]{0,3}[ /.-]?(\(0\)[ ]?)?[0-9]{2,5}[ /.-]?[0-9]{2,4}[ /.-]?[0-9]{2,4}",
    "bank account": r"\b[A-Z]{2}[0-9]{2}( ?[0-9A-Z]{4}){3,7}( ?[0-9A-Z]{1,3})?\b",
    "insurance number": r"\b([A-Z][0-9]{9}|[12] ?[0-9]{2} ?[01][0-9] ?[0-9AB]{2} ?[0-9]{3} ?[0-9]{3}( ?[0-9]{2})?)\b",
    "date": r"\b([0-3]?[0-9][./][01]?[0-9][./](19|20)?[0-9]{2}|(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9])\b",
    "address": r"(\b[\p{L}-]+(stra(ß|ss)e|str\.|gasse|weg|platz)|\b(rue|avenue|place) [\p{L} '-]+),? ?[0-9]+"
    r"|\b[0-9]{1,4} (\p{Lu}[\p{L}'-]+ )+(Street|Road|Avenue|Lane)\b",
    "title and name": r"\b(Dr|Prof|Frau|Herr[n]?|Mr|Mrs|Ms|Mme|Madame|Monsieur)\.? \p{Lu}[\p{L}'-]+",
    "web address": r"https?://|\bwww\.",
}
"""By kind, a pattern for RE2. Kinds: e-mail, telephone, IBAN, German KVNR and French NIR, dates, addresses, names."""


def kind_of(text: str) -> str:
    """Return the SQL of the first kind of identifier that a text holds; NULL where none is found."""
    cases = " ".join(
        f"WHEN regexp_matches({text}, {literal(pattern)}) THEN {literal(kind)}" for kind, pattern in PATTERNS.items()
    )
    return f"CASE {cases} END"
