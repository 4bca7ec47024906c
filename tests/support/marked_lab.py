"""A lab server whose German is English in marks: whatever a page says outside of ⟦ and ⟧ went through no translation.

It is the lab server as it is, but for its catalogue of words, and what it writes as people there write it (dates,
numbers, sizes, names of countries and languages), which is in marks too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from catalog.web import server
from catalog.web.pages import language
from catalog.web.pages.language import Language
from datalab.home import Home
from datalab.service import run_service
from tools.words import used

CODE = "de"
"""The language that is in marks."""
OPEN, SHUT = "⟦⟧"
_WRITTEN = ("count", "number", "duration", "share", "day", "time", "size", "country", "language")


def marked(text: str) -> str:
    """Put a text into marks."""
    return f"{OPEN}{text}{SHUT}" if text else text


def main(home: Home) -> None:
    """Serve a lab."""
    language.FOLDER = home.folder("marked-words")
    words = Catalog(locale=CODE)
    for message in used():
        if isinstance(message.id, tuple):
            words.add(message.id, tuple(map(marked, message.id)))
        elif message.id:
            words.add(message.id, marked(str(message.id)))
    with (language.FOLDER / f"{CODE}.po").open("wb") as file:
        write_po(file, words)
    for name in _WRITTEN:
        setattr(Language, name, _in_marks(getattr(Language, name)))
    named = cast("property", vars(Language)["countries"]).fget
    assert named is not None
    countries = property(lambda chosen: {code: marked(name) for code, name in named(chosen).items()})
    setattr(Language, "countries", countries)  # noqa: B010 - a property is not assigned to
    server.main(home)


def _in_marks(written: Callable[..., str]) -> Callable[..., str]:
    def done(chosen: Language, *arguments: Any) -> str:
        text = written(chosen, *arguments)
        return marked(text) if chosen.code == CODE else text

    return done


if __name__ == "__main__":
    run_service(main)
