"""Reading a page of another catalogue, in a process of its own, and checking what comes out of it field by field."""

from __future__ import annotations

from threading import Event
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalog.harvest.fetch import Document
from catalog.harvest.records import MAX_ENTRIES, Description, Problem, line_of
from catalog.records import Web
from datalab.boundary import bad_field
from datalab.confined import read_apart
from datalab.errors import BadInputError, RefusedError

_SECONDS = 120.0
"""On the clock, within which a page is read; its processor time is bounded besides."""


class _Said(BaseModel):
    """What the process answers, before each entry is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    error: Annotated[str, Field(max_length=500)] = ""
    entries: Annotated[tuple[dict[str, object], ...], Field(max_length=MAX_ENTRIES)] = ()
    problems: Annotated[tuple[Problem, ...], Field(max_length=MAX_ENTRIES)] = ()
    following: Web | None = None
    total: Annotated[int, Field(ge=0, le=10**9)] | None = None


class ReadPage(BaseModel):
    """What a page of a catalogue says.

    Attributes:
        entries: its datasets.
        troubled: names of datasets that are there and could not be taken over.
        problems: why not; more than those, since not all have a name.
        following: address of the next page.
        total: how many datasets the catalogue says that it has.
    """

    model_config = ConfigDict(frozen=True)

    entries: tuple[Description, ...]
    troubled: frozenset[str]
    problems: tuple[Problem, ...]
    following: str | None
    total: int | None


def read_page(document: Document, stopped: Event) -> ReadPage:
    """Read a page in a process of its own.

    Raises:
        BadInputError: it cannot be read, or not within the bounds.
        RefusedError: the lab is stopping.
    """
    said = (document.form, document.address)
    answer = read_apart("catalog.harvest.reader", said, document.data, seconds=_SECONDS, stopped=stopped)
    if stopped.is_set():
        raise RefusedError("The lab is stopping.")
    return _checked(answer, document)


def _checked(answer: bytes | None, document: Document) -> ReadPage:
    where = document.address.partition("?")[0]
    if answer is None:
        raise BadInputError("The page takes more time or memory than one may take to be read.", where=where)
    try:
        said = _Said.model_validate_json(answer)
    except ValidationError as error:
        raise bad_field("What the page says", error, where=where) from error
    if said.error:
        raise BadInputError(f"The page cannot be read. {said.error}", where=where)
    entries, problems = [], list(said.problems)
    troubled = {one.entry for one in problems}
    for one in said.entries:
        name = str(one.get("uri", ""))
        try:
            entries.append(Description.model_validate(one))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(map(str, first["loc"]))
            problems.append(Problem(entry=line_of(name), what=line_of(f"{field}: {first['msg']}")))
            troubled.add(name)
    return ReadPage(
        entries=tuple(entries),
        troubled=frozenset(troubled),
        problems=tuple(problems),
        following=said.following,
        total=said.total,
    )
