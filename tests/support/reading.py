"""What a reader finds on a page: its texts, those that are said only, and what kind of text each is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser

SAID = ("title", "aria-label", "placeholder", "alt", "data-waiting", "data-looking", "data-failed")
"""Attributes that a reader sees or hears."""
_ENDLESS = frozenset({"meta", "link", "input", "br", "hr", "img", "path", "circle", "rect", "line", "wbr"})
_CODE = frozenset({"code", "pre", "textarea"})


@dataclass(frozen=True)
class Text:
    """A text of a page.

    Attributes:
        text: as it stands there.
        code: whether it is marked as code, or is what somebody has typed.
        language: of the element, where that is another one than the page's.
    """

    text: str
    code: bool = False
    language: str | None = None


def texts(page: str) -> list[Text]:
    """Return the texts of a page, in their order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Text] = []
        self._open: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.found += [Text(words) for name in SAID if (words := said.get(name))]
        if tag not in _ENDLESS:
            self._open.append((tag, said.get("lang") if tag != "html" else None))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = {tag for tag, _ in self._open}
        if data.strip() and not tags & {"script", "style"}:
            language = next((code for _, code in reversed(self._open) if code), None)
            self.found.append(Text(re.sub(r"\s+", " ", data).strip(), bool(tags & _CODE), language))
