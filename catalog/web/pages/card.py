"""A card of a run in its forms: as a page, as Markdown, as PDF. What the records do not say is marked as a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from fastapi import Response

from catalog.run_records import RunRecord
from catalog.web.pages.language import mark
from catalog.web.pages.page import Page

GAP = mark("Gap: not in the records; to be stated by the provider.")
_MARGIN, _LABEL, _LINE = 20.0, 55.0, 5.0
"""Of a page of A4, in millimetres: its margins, the column of names, the height of a line."""


@dataclass(frozen=True)
class Section:
    """A head with its facts, each a name (marked for translation) and what the records say; "" is a gap."""

    title: str
    facts: tuple[tuple[str, str], ...]
    of: str = ""


@dataclass(frozen=True)
class Card:
    """What is said of a run.

    Attributes:
        title: marked for translation.
        name: of its files and of its address below the run's.
    """

    run: RunRecord
    title: str
    name: str
    sections: Sequence[Section]


def shown(page: Page, card: Card, form: str) -> Response:
    """Return a card as a page, or as ``markdown`` or ``pdf`` to be kept."""
    if form == "markdown":
        return _file(card, "md", "text/markdown; charset=utf-8", _markdown(page, card).encode())
    if form == "pdf":
        return _file(card, "pdf", "application/pdf", _pdf(page, card))
    return page.show("card.html", run=card.run, title=card.title, name=card.name, sections=card.sections, gap=GAP)


def _file(card: Card, suffix: str, kind: str, content: bytes) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{card.run.id}-{card.name}.{suffix}"'}
    return Response(content, media_type=kind, headers=headers)


def _markdown(page: Page, card: Card) -> str:
    lines = [f"# {page.words(card.title)}: {_plain(card.run.id)}", ""]
    for section in card.sections:
        lines += [f"## {page.words(section.title)}{f': {_plain(section.of)}' if section.of else ''}", ""]
        said = [(page.words(name), _plain(value) or f"**{page.words(GAP)}**") for name, value in section.facts]
        lines += [f"- {name}: {value}" for name, value in said] + [""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return text that Markdown takes for nothing but text."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>#|" else one for one in " ".join(text.split()))


def _pdf(page: Page, card: Card) -> bytes:
    """Return the card on sheets of A4, its letters with it; the same card gives the same bytes."""
    from fpdf import FPDF

    pdf = FPDF(format="A4")
    title = f"{page.words(card.title)}: {card.run.id}"
    pdf.set_title(title)
    pdf.set_lang(page.language.code)
    pdf.set_creation_date(card.run.finished or card.run.created)
    pdf.set_margin(_MARGIN)
    pdf.set_auto_page_break(auto=True, margin=_MARGIN)
    for style, path in _letters().items():
        pdf.add_font("sans", style, path)
    pdf.add_page()
    pdf.set_font("sans", "B", 18)
    pdf.multi_cell(0, 9, title, align="L", new_x="LMARGIN", new_y="NEXT")
    for section in card.sections:
        pdf.ln(3)
        pdf.set_font("sans", "B", 12)
        heading = f"{page.words(section.title)}{f': {section.of}' if section.of else ''}"
        pdf.multi_cell(0, 7, heading, align="L", new_x="LMARGIN", new_y="NEXT")
        for name, value in section.facts:
            if pdf.will_page_break(2 * _LINE):
                pdf.add_page()
            top = pdf.get_y()
            pdf.set_font("sans", "", 10)
            pdf.multi_cell(_LABEL, _LINE, page.words(name), align="L", new_x="RIGHT", new_y="TOP")
            below = top + _LINE * len(
                pdf.multi_cell(_LABEL, _LINE, page.words(name), align="L", dry_run=True, output="LINES")
            )
            first = pdf.page
            pdf.set_xy(_MARGIN + _LABEL, top)
            pdf.set_font("sans", "" if value else "B", 10)
            said = " ".join(value.split()) or page.words(GAP)
            pdf.multi_cell(0, _LINE, said, align="L", new_x="LMARGIN", new_y="NEXT")
            if pdf.page == first:
                pdf.set_y(max(pdf.get_y(), below))
    return bytes(pdf.output())


@cache
def _letters() -> dict[Literal["", "B"], Path]:
    """Return the files of the letters (Source Sans Pro: Latin, Greek, Cyrillic), by style."""
    import font_source_sans_pro

    folder = Path(font_source_sans_pro.__file__).parent / "files"
    return {"": folder / "SourceSansPro-Regular.ttf", "B": folder / "SourceSansPro-Semibold.ttf"}
