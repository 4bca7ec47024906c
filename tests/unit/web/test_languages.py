from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from catalog.web.pages.language import FOLDER, NAMES, language, negotiate
from catalog.web.pages.templates import TEMPLATES, environment
from tools.words import used

TRANSLATED = [code for code in NAMES if code != "en"]
PLACEHOLDER = re.compile(r"%\(\w+\)s")
_NOT_SHOWN = re.compile(
    r"<(svg|script|style|code)\b.*?</\1>|<[^>]*>|[a-z-]+=\"[^\"]*\"|/[a-z]+", re.DOTALL
)  # elements without words, tags, and attributes and addresses that macros make
UNTRANSLATED_ON_PURPOSE = {"Datalab", "SHA-256", "v"}
"""Names that are the same in every language."""


def catalog(code: str) -> Catalog:
    with (FOLDER / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code)


def texts(words: Any) -> tuple[str, ...]:
    """A text, or its singular and its plurals."""
    return (words,) if isinstance(words, str) else tuple(words)


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_word_of_the_pages_is_translated(code: str) -> None:
    translated = catalog(code)
    words = [message for message in used() if message.id]
    assert len(words) > 300
    for message in words:
        found = translated.get(message.id)
        assert found is not None, message.id
        assert not found.fuzzy
        for text in texts(found.string):
            assert text.strip(), message.id
            assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(texts(message.id)[0])), message.id


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_translation_is_left_of_words_that_are_gone(code: str) -> None:
    known = {message.id for message in used()}
    assert [message.id for message in catalog(code) if message.id not in known] == []


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.stem)
def test_no_template_has_words_outside_the_translations(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    data = "".join(
        value if kind == "data" else "\0" for _, kind, value in environment("en").lex(source) if kind != "raw_begin"
    )
    spoken = re.findall(r'\b(?:alt|aria-label|placeholder|title)="([^"\0]*)"', data)
    visible = _NOT_SHOWN.sub("\0", data)
    words = {word for word in re.split(r"[\s\0().,:/?=&]+", visible) if re.search(r"[^\W\d_]", word)}
    assert words | set(spoken) <= UNTRANSLATED_ON_PURPOSE, path


@pytest.mark.parametrize(
    ("cookie", "accepted", "code"),
    [
        (None, "", "en"),
        (None, "de-AT,de;q=0.9,en;q=0.5", "de"),
        (None, "nl,fr;q=0.4,en;q=0.3", "fr"),
        (None, "pl", "en"),
        (None, "de;q=nonsense, fr;q=0.1", "fr"),
        ("fr", "de", "fr"),
        ("xx", "de", "de"),
        ("../../etc", "", "en"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(cookie: str | None, accepted: str, code: str) -> None:
    assert negotiate(cookie, accepted).code == code


def test_numbers_are_written_as_people_there_write_them() -> None:
    assert [language(code).count(2982) for code in ("en", "de")] == ["2,982", "2.982"]
    assert language("de").count(None) == "nicht angegeben"
    assert language("de").share(1, 8) == "12,5 %"
    assert language("fr").country("DE") == "Allemagne"
    assert language("en").size(1_500_000) == "1.5\N{NO-BREAK SPACE}MB"
