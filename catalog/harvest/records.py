"""Records of catalogues that are harvested, and of the datasets that were found there."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, Field

from catalog.records import Contact, Country, Keywords, Language, Line, Prose, Record, Theme, Translations, Web

HERE = "here"
"""What the facet of catalogues calls this lab's own; no source has this id."""
MAX_ENTRIES = 20_000
"""Datasets of one source."""
MAX_PAGES = 500
MAX_PROBLEMS = 100
"""Problems that are kept of a harvest; all are counted."""


def _free(name: str) -> str:
    if name == HERE:
        raise ValueError(f"{HERE} is this lab itself")
    return name


def _without_credentials(address: str) -> str:
    try:
        parts = urlsplit(address)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError("this is not an address") from error
    if not named or "@" in parts.netloc:
        raise ValueError("an address names a host, and neither user nor password")
    if parts.fragment:
        raise ValueError("an address of a catalogue has no part behind #")
    return address


SourceId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"), AfterValidator(_free)]
"""Lower case, digits, hyphens; at most 40 characters."""
EntryId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\.[0-9a-f]{16}$")]
"""A source's id, a dot, and the beginning of the SHA-256 of the entry's URI."""
Address = Annotated[Web, AfterValidator(_without_credentials)]
Validator = Annotated[str, Field(max_length=300, pattern=r"^[\x21-\x7e][\x20-\x7e]*$")]
"""What an ETag or Last-Modified header says (RFC 9110, 8.8)."""
RemoteAccess = Literal["public", "restricted", "non-public"]
"""Of the EU access-right vocabulary."""


class Problem(Record):
    """What of a catalogue could not be taken over: which entry or page, and why."""

    entry: Line
    what: Line


class Description(Record):
    """A dataset as another catalogue describes it (DCAT-AP 3).

    Attributes:
        uri: its name there, which it keeps.
        language: of title, description and keywords, where it is one of ours.
        publisher: the data holder's name.
        licence: SPDX identifier where there is one; otherwise its address or label.
        access: on what terms, where that is said.
        ask_at: where access is asked for: its page there.
        issued: the day on which it was published there, and ``modified`` when it changed; as it is written there.
    """

    uri: Web
    title: Line
    description: Prose = ""
    keywords: Keywords = ()
    language: Language | None = None
    translations: Translations = {}  # noqa: RUF012 - pydantic copies it
    publisher: Line | None = None
    themes: Annotated[tuple[Theme, ...], Field(max_length=14)] = ()
    licence: Line | None = None
    access: RemoteAccess | None = None
    ask_at: Web
    contact: Contact | None = None
    issued: Annotated[str, Field(pattern=r"^[0-9T:.+Z-]{4,40}$")] | None = None
    modified: Annotated[str, Field(pattern=r"^[0-9T:.+Z-]{4,40}$")] | None = None


class RemoteEntry(Record):
    """A dataset of another catalogue. It is described here and nothing more: it cannot be run on or downloaded.

    Attributes:
        id: of this entry here.
        source: id of the catalogue.
        source_name: its name.
        country: its member state.
        described: what it says.
        page: the page of the catalogue that it stands on.
        found: when it was found first.
        changed: when something about it was found to be different.
        withdrawn: since when it is gone from there; the entry stays as a tombstone.
    """

    id: EntryId
    source: SourceId
    source_name: Line
    country: Country
    described: Description
    page: Web
    found: AwareDatetime
    changed: AwareDatetime
    withdrawn: AwareDatetime | None = None


class SeenPage(Record):
    """A page of a catalogue as it was last read, so that it need not be sent again unless it has changed.

    Attributes:
        address: of the page.
        etag: as the server sent it, and ``modified`` likewise.
        following: address of the next page.
        total: how many datasets the catalogue says that it has.
        problems: what of it could not be taken over, the first hundred of ``problem_count``.
    """

    address: Web
    etag: Validator | None = None
    modified: Validator | None = None
    following: Web | None = None
    total: int | None = None
    problem_count: int = 0
    problems: Annotated[tuple[Problem, ...], Field(max_length=MAX_PROBLEMS)] = ()


class Harvest(Record):
    """What came of a harvest.

    Attributes:
        outcome: ``refused``: too much would have been withdrawn, and nothing was changed; ``failed``: the catalogue
            could not be read, and nothing was changed.
        unchanged: how many entries are as they were.
        problems: what could not be taken over, the first hundred of ``problem_count``.
        message: what went wrong, or what to know besides.
    """

    at: AwareDatetime
    outcome: Literal["changed", "unchanged", "refused", "failed"]
    added: int = 0
    updated: int = 0
    withdrawn: int = 0
    unchanged: int = 0
    problem_count: int = 0
    problems: Annotated[tuple[Problem, ...], Field(max_length=MAX_PROBLEMS)] = ()
    message: Prose = ""


class SourceDraft(Record):
    """A catalogue that is to be harvested.

    Attributes:
        address: of its first page; None where only files are handed in.
        country: the member state whose catalogue it is, ISO 3166-1 alpha-2.
        every_hours: how often it is harvested by itself; None: when somebody asks for it.
    """

    id: SourceId
    name: Line
    address: Address | None = None
    country: Country
    every_hours: Annotated[int, Field(ge=1, le=8760)] | None = None


class Source(SourceDraft):
    """A catalogue on record.

    Attributes:
        pages: as they were last read.
        last: the last harvest.
        entries: how many datasets of it are found here.
    """

    created: AwareDatetime
    pages: Annotated[tuple[SeenPage, ...], Field(max_length=MAX_PAGES)] = ()
    last: Harvest | None = None
    entries: int = 0


def line_of(text: str) -> str:
    """Return a text as a line that a record takes: no control characters, at most 300 characters."""
    return re.sub(r"[\x00-\x20\x7f]+", " ", text).strip()[:300] or "?"
