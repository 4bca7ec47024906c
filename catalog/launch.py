"""What passes between those who launch runs, the lab server and the scheduler; as light as the records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from catalog.records import Record
from catalog.run_records import Launch, RunRecord


@dataclass(frozen=True)
class AppFacts:
    """An app: its digest, and its parameters with their defaults."""

    name: str
    version: str
    description: str
    sha256: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class NodeFacts:
    """A node of the federation."""

    name: str
    organisation: str
    country: str
    connected: bool


class Clause(Record):
    """One condition: does it hold (None: only the node knows), and why."""

    name: Literal["permit", "policy", "schema", "node"]
    holds: bool | None
    why: str


class Site(Record):
    """A place of the run, and what speaks for and against it."""

    dataset: str
    version: int | None
    node: str | None
    clauses: tuple[Clause, ...]


class DryRun(Record):
    """What would happen.

    Attributes:
        launch: with node and version of every place, and the purpose.
        problems: what is wrong with the run as a whole.
    """

    app_name: str
    app_sha256: str
    launch: Launch
    sites: tuple[Site, ...]
    problems: tuple[str, ...]

    @property
    def first_problem(self) -> tuple[str, str | None] | None:
        """What speaks against the run, and where; None if nothing does."""
        if self.problems:
            return self.problems[0], None
        for site in self.sites:
            for clause in site.clauses:
                if clause.holds is False:
                    return clause.why, site.dataset
        return None


class Start(Record):
    """A run that is to start, with its signed permit."""

    run: RunRecord
    permit: str


class Work(Record):
    """What the scheduler is to do.

    Attributes:
        start: runs to start.
        stop: runs of the scheduler's own to stop.
        lost: runs on record as running that the scheduler does not know.
    """

    start: tuple[Start, ...]
    stop: tuple[str, ...]
    lost: tuple[str, ...]
