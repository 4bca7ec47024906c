"""Releases as they are stored with their runs, and as they cross the API."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from catalog.records import Line, Number, Prose, Record, Slug
from catalog.release.transitions import ReleaseState, ReleaseStep

Names = Annotated[tuple[Line, ...], Field(max_length=1000)]
"""Names of files that a run left behind."""


class CheckName(StrEnum):
    """What is looked at before a run's files leave."""

    EXAMPLES = "examples"
    FILE_TYPE = "file-type"
    PARAMETERS = "parameters"
    COPIED_ROWS = "copied-rows"
    SMALL_CELLS = "small-cells"
    SIZE = "size"


class Check(Record):
    """One look at one thing; whoever decides reads it, and nothing is decided by it.

    Attributes:
        holds: whether it is as it should be.
        subject: the file, the site (``node NAME``), or "" for all together.
        found: the number that was found.
        limit: the number that it is held against.
    """

    name: CheckName
    holds: bool
    subject: str = ""
    found: int | None = None
    limit: int | None = None


class Release(Record):
    """Where the release of a run's files stands.

    Attributes:
        steward_of: the data holder whose steward decides; None where an access body does.
        required_by: the permits and datasets that ask for the release.
        text: why it is asked for.
        checks: what was found when it was asked for.
        reason: what the decider said.
        files: those that were released.
    """

    state: ReleaseState = ReleaseState.HELD
    steward_of: Slug | None = None
    required_by: Annotated[tuple[Line, ...], Field(max_length=2000)] = ()
    asked_by: Slug | None = None
    asked: AwareDatetime | None = None
    text: Prose = ""
    checks: Annotated[tuple[Check, ...], Field(max_length=10_000)] = ()
    decided_by: Slug | None = None
    decided: AwareDatetime | None = None
    reason: Prose = ""
    files: Names = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that found something."""
        return tuple(one for one in self.checks if not one.holds)


class ReleaseAsk(Record):
    """Why somebody asks that a run's files be released."""

    text: Annotated[Prose, Field(min_length=1)]


class ReleaseDecision(Record):
    """What is decided.

    Attributes:
        step: release, refuse or recall.
        text: why; needed for all but a release in which every check holds.
        files: those to release; all of them where none is named.
        revision: of the run, as the decider saw it.
    """

    step: ReleaseStep
    text: Prose = ""
    files: Names = ()
    revision: Number
