"""Looking into a file that somebody has handed in, in a process of its own (``datalab.confined``).

    python -m datalab.curation.looking columns | person      what is asked, as JSON on its standard input

A Parquet file or a document that crashes its reader, or never ends, so takes neither the lab server nor a node with it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datalab.boundary import bad_field
from datalab.confined import confine, read_apart
from datalab.curation.infer import MAX_COLUMNS, Inference
from datalab.errors import BadInputError, DatalabError

SECONDS = 300
"""Processor time for one file."""
_CLOCK = 2.0 * SECONDS
_MEMORY = 4 << 30
_WRITTEN = 8 << 30
"""Bytes of the largest file in the work folder: a copy of what is looked into."""
_LONGEST = 64 << 20
"""Bytes of an answer that are read."""


class _Columns(BaseModel):
    """What is asked of a file's columns; ``most`` is None for text, whose beginning is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    work: Path
    whole: bool = True
    most: int | None = None


class _Person(BaseModel):
    """Whether a Parquet file names a person is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    pseudonym: Annotated[str, Field(repr=False)]


class _Said(BaseModel):
    """The answer: what was found, or what is wrong with the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    columns: Inference | None = None
    person: bool | None = None
    wrong: tuple[str, str | None, str | None] | None = None


def look(path: Path, work: Path, *, whole: bool = True, most: int | None = None) -> Inference:
    """Look at a file and say what its columns are, in a process of its own.

    Args:
        path: the file, or, of text, its beginning.
        work: an empty folder to work in.
        whole: False if it is the beginning.
        most: records to look at, where it is not text; None for text.

    Raises:
        BadInputError: it cannot be read, has none, or takes more time or memory than one may take.
    """
    said = _ask("columns", _Columns(path=path, work=work, whole=whole, most=most))
    if said is None:
        raise BadInputError(
            "The file cannot be looked into: reading it takes too much time or memory, or fails.",
            where=path.name,
            next_step="Write it again, or split it into several files.",
        )
    if said.wrong is not None:
        what, where, next_step = said.wrong
        raise BadInputError(what, where=where, next_step=next_step)
    if said.columns is None or len(said.columns.columns) > MAX_COLUMNS:
        raise BadInputError("The file has too many columns.", where=path.name)
    return said.columns


def names_person(path: Path, pseudonym: str) -> bool:
    """Return whether a Parquet file names a person, as far as it can be read; one that cannot may hold anything."""
    said = _ask("person", _Person(path=path, pseudonym=pseudonym))
    return said is None or said.person is not False


def _ask(what: str, asked: BaseModel) -> _Said | None:
    answer = read_apart("datalab.curation.looking", [what], asked.model_dump_json().encode(), seconds=_CLOCK)
    if answer is None:
        return None
    try:
        return _Said.model_validate_json(answer[:_LONGEST])
    except ValidationError as error:
        raise bad_field("What was found in the file", error, where="the process that reads it") from error


def _columns(asked: _Columns) -> _Said:
    from datalab.curation.flatten import infer_any
    from datalab.curation.infer import infer

    try:
        if asked.most is None:
            return _Said(columns=infer(asked.path, asked.work, whole=asked.whole))
        return _Said(columns=infer_any(asked.path, asked.work, most=asked.most))
    except BadInputError as error:
        return _Said(wrong=(error.what, error.where, error.next_step))


def _person(asked: _Person) -> _Said:
    import duckdb

    from datalab.curation.naming import in_parquet

    try:
        return _Said(person=in_parquet(asked.path, asked.pseudonym))
    except (duckdb.Error, DatalabError):
        return _Said(person=True)


def main() -> NoReturn:
    """Answer what is asked on standard input."""
    import duckdb  # noqa: F401 - while libraries may be opened
    import numpy as np  # noqa: F401 - as before

    (what,) = sys.argv[1:]
    asked = json.loads(sys.stdin.buffer.read())
    confine(seconds=SECONDS, memory=_MEMORY, written=_WRITTEN)
    said = _columns(_Columns(**asked)) if what == "columns" else _person(_Person(**asked))
    sys.stdout.write(said.model_dump_json(exclude_none=True))
    sys.stdout.flush()
    sys.exit(0)


if __name__ == "__main__":
    main()
