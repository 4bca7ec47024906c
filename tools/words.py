"""Brings ``catalog/web/languages/*.po`` up to date with the words that the pages use; translations stay as they are.

A test fails while a word has no translation, so that no page is half in one language and half in another.
"""

from __future__ import annotations

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

WEB = Path(__file__).parents[1] / "catalog" / "web"
LANGUAGES = WEB / "languages"


def used() -> Catalog:
    """Return the words that the templates and the code mark for translation."""
    found = Catalog(charset="utf-8")
    methods = [("**.py", "python"), ("**.html", "jinja2")]
    options = {"**.html": {"silent": "false", "trimmed": "true"}}
    keywords = {**DEFAULT_KEYWORDS, "mark": None}
    for name, _line, message, _comments, context in extract_from_dir(WEB, methods, options, keywords):
        found.add(message, locations=[(name, 0)], context=context)
    return found


def main() -> None:
    """Write the catalogs of every language."""
    for path in sorted(LANGUAGES.glob("*.po")):
        with path.open("rb") as file:
            catalog = read_po(file, locale=path.stem)
        catalog.update(used(), no_fuzzy_matching=True, update_creation_date=False)
        catalog.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, catalog, width=120, no_location=True, omit_header=False, sort_output=True)


if __name__ == "__main__":
    main()
