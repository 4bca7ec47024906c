"""What in a text looks as if it told who somebody is: patterns only, so that no model has to be fetched or trusted.

It finds what is written in a fixed form. A name in a sentence has none: prose is withheld whole, whatever is found.
Where a number has check digits they are not worked out: what only looks like one is withheld, too. Tests hold the
patterns to presidio's own recognisers (ADR 51).
"""

from __future__ import annotations

from datalab.curation.database import literal

_MONTH = (
    r"(Jan|Feb|M[aä]r|Mar|Apr|Ma[iy]|Jun|Jul|Aug|Sep|O[ck]t|Nov|De[cz]|janv|févr|fevr|mars|avr|juin|juil|ao[uû]t|déc)"
    r"[a-zäéû]*"
)
_HEX = r"[0-9A-Fa-f]"
PATTERNS = {
    "e-mail": r"[^\s@]@[^\s@]+\.\p{L}[\p{L}0-9-]+",
    "web address": r"https?://|\bwww\.|(?i:\b[a-z0-9-]{3,}\.(com|org|net|info|eu|de|fr|ch|nl|uk|io)\b)",
    "date": r"\b([0-3]?[0-9][./-][01]?[0-9][./-](19|20)?[0-9]{2}|[01]?[0-9][/-][0-3]?[0-9][/-](19|20)?[0-9]{2}"
    r"|(19|20)[0-9]{2}[/-][01]?[0-9][/-][0-3]?[0-9])(\b|T)"
    rf"|(?i:\b[0-3]?[0-9](\.|er|st|nd|rd|th)?[ -]{_MONTH}\.?,?[ -]((19|20)[0-9]{{2}}|[0-9]{{2}})\b"
    rf"|\b{_MONTH}\.? [0-3]?[0-9](st|nd|rd|th)?,? (19|20)[0-9]{{2}}\b|\b{_MONTH}-((19|20)[0-9]{{2}}|[0-9]{{2}})\b)",
    "bank account": r"\b[A-Z]{2}[0-9]{2}([ -]?[0-9A-Z]{4}){2,7}[ -]?[0-9A-Z]{1,4}\b",
    "insurance number": r"\b([A-Z][0-9]{9}|[12] ?[0-9]{2} ?[01][0-9] ?[0-9AB]{2} ?[0-9]{3} ?[0-9]{3}( ?[0-9]{2})?"
    r"|[0-9]{2} ?[0-9]{6} ?[A-Z] ?[0-9]{3}|(?i:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?([0-9]{2} ?){3}[A-D]))\b",
    "identity document": r"\b([CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{7}[0-9]|[A-Z]{2}[0-9]{8}[A-Z0-9]"
    r"|(?i:[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z])|[XYZ]?[0-9]{7,8}-?[A-Z]"
    r"|[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]|DE[ .-]?[0-9]{3}[ .-]?[0-9]{3}[ .-]?[0-9]{3})\b",
    "number plate": r"(^|[^\p{L}0-9_-])[A-ZÄÖÜ]{1,3}[ -][A-Z]{1,2}[ -][0-9]{3,4}[EH]?\b",
    "telephone": r"(\+|\b00)[1-9][0-9]{0,3}([ /.()-]{0,3}[0-9]){6,12}\b"
    r"|(^|[^0-9.,])\(?0[1-9]([ /.()-]{0,2}[0-9]){7,11}\b"
    r"|(^|[^0-9.,])\(?[2-9][0-9]{2}\)?[ .-][0-9]{3}[ .-][0-9]{4}\b",
    "network address": r"(^|[^0-9.])([0-9]{1,3}\.){3}[0-9]{1,3}(/[0-9]{1,2})?($|[^0-9.]|\.(\D|$))"
    rf"|\b({_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}\b|(^|[^0-9A-Za-z:])({_HEX}{{1,4}}(:{_HEX}{{1,4}})*)?::{_HEX}{{1,4}}\b"
    rf"|\b({_HEX}{{2}}[:-]){{5}}{_HEX}{{2}}\b|\b({_HEX}{{4}}\.){{2}}{_HEX}{{4}}\b"
    rf"|\b{_HEX}{{8}}-({_HEX}{{4}}-){{3}}{_HEX}{{12}}\b",
    "wallet": r"\b(bc1|[13])[a-km-zA-HJ-NP-Z1-9]{25,59}\b",
    "address": r"(\b[\p{L}-]+(stra(ß|ss)e|str\.|gasse|weg|platz)|\b(rue|avenue|place) [\p{L} '-]+),? ?[0-9]+"
    r"|\b[0-9]{1,4} (\p{Lu}[\p{L}'-]+ )+(Street|Road|Avenue|Lane)\b",
    "title and name": r"\b(Dr|Prof|Frau|Herr[n]?|Mr|Mrs|Ms|Mme|Madame|Monsieur)\.? \p{Lu}[\p{L}'-]+",
}
"""By kind, a pattern for RE2.

Among the numbers are IBAN; German KVNR, Rentenversicherungsnummer, identity card, passport, licence, VAT id and number
plate (of three digits and more: ``HLA-B 27`` is none); French NIR; British NINO; Italian codice fiscale; Spanish NIF
and NIE; Finnish henkilötunnus. Telephones are international, or as written in Germany, Austria, Switzerland, France,
Belgium, the Netherlands, the United Kingdom and the United States. A date has a day, or a month by its name. A web
address has a scheme, ``www`` or one of a few endings that are no words.
"""

NUMBERS = (
    r"\b([0-9]{9,19}|[0-9]{2,}([ /-][0-9]{3,}){2,}|[0-9]{6,8}[-+/ ][0-9]{3,5}|[0-9]{2}( ?[0-9]{2}){2}-?[0-9]{4})\b"
)
"""Long numbers, which among words are of a person, a card or a doctor, and alone may be a code of SNOMED CT.

So are tax numbers, the NHS's, PESEL, personnummer, LANR, BSNR and payment cards.
"""


def kind_of(text: str) -> str:
    """Return the SQL of the first kind of identifier that a text holds; NULL where none is found."""
    any_ = "|".join(f"(?:{pattern})" for pattern in (*PATTERNS.values(), NUMBERS))
    cases = " ".join(
        f"WHEN regexp_matches({text}, {literal(pattern)}) THEN {literal(kind)}" for kind, pattern in PATTERNS.items()
    )
    return (  # most texts hold none, which one look tells
        f"CASE WHEN NOT regexp_matches({text}, {literal(any_)}) THEN NULL {cases} "
        rf"WHEN regexp_matches({text}, '\p{{L}}') AND regexp_matches({text}, {literal(NUMBERS)}) THEN 'long number' END"
    )
