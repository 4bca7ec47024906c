"""What passes between those who launch runs, the lab server and the scheduler; as light as the records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from catalog.records import Record
from catalog.run_records import Launch, RunRecord


@dataclass(frozen=True)
class ParameterFacts:
    """What an app says of one of its parameters, beside the default.

    Attributes:
        words: name and help, by language; English is there if any is.
        low: the smallest number, and ``high`` the largest.
        values: the only values.
        columns: whether it names one column of the data, or several, separated by commas.
        numbers: whether these have to hold numbers.
    """

    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    values: tuple[bool | int | float | str, ...] | None = None
    columns: Literal["one", "several"] | None = None
    numbers: bool = False

    def label(self, language: str, name: str) -> str:
        """Return its name in a language, or else in English, or else as it is in the configuration."""
        return self.words.get(language, self.words.get("en", ("", "")))[0] or name

    def help(self, language: str) -> str:
        """Return what it does, in a language, or else in English."""
        return self.words.get(language, self.words.get("en", ("", "")))[1]

    def allows(self, value: Any) -> bool:
        """Whether it may be set to ``value``, which is of the type of its default."""
        if self.values is not None:
            return any(value == one and type(value) is type(one) for one in self.values)
        if not isinstance(value, int | float):
            return True
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def named(self, value: Any) -> tuple[str, ...]:
        """Return the columns that a value names."""
        if self.columns is None:
            return ()
        parts = [str(value)] if self.columns == "one" else str(value).split(",")
        return tuple(part.strip() for part in parts if part.strip())


@dataclass(frozen=True)
class AppFacts:
    """An app: its digest, its parameters with their defaults, and what it says of them."""

    name: str
    version: str
    description: str
    sha256: str
    parameters: Mapping[str, Any]
    described: Mapping[str, ParameterFacts] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)
    """Of an uploaded app, what a scan of its files has found, by head (``federation.scan``)."""


@dataclass(frozen=True)
class NodeFacts:
    """A node of the federation.

    Attributes:
        privacy_left: what is left of the privacy budgets of its datasets, as it has said last, while it is connected.
    """

    name: str
    organisation: str
    country: str
    connected: bool
    privacy_left: Mapping[str, float] = field(default_factory=dict)


ClauseName = Literal["permit", "policy", "schema", "node", "privacy"]


class Clause(Record):
    """One condition: does it hold (None: only the node knows), and why."""

    name: ClauseName
    holds: bool | None
    why: str


class Site(Record):
    """A place of the run, and what speaks for and against it."""

    dataset: str
    version: int | None
    node: str | None
    clauses: tuple[Clause, ...]


class Cost(Record):
    """What a run is taken to cost, in the organisation's quota.

    Attributes:
        places: node places that it takes.
        seconds: how long it is taken to last.
        earlier: how many ended runs of this app that comes from; 0 where it is a mere guess.
        most: node-hours that it can cost, where it has a deadline.
        used: node-hours that the organisation has used in the period.
        quota: node-hours that it may use; None where it has no quota.
    """

    places: int
    seconds: float
    earlier: int
    most: float | None
    used: float
    quota: float | None

    @property
    def node_hours(self) -> float:
        """What it is taken to cost."""
        return self.places * self.seconds / 3600

    @property
    def waits(self) -> bool:
        """Whether it would wait until the organisation has quota again."""
        return self.quota is not None and self.used >= self.quota


class DryRun(Record):
    """What would happen.

    Attributes:
        launch: with node and version of every place, and the purpose.
        problems: what is wrong with the run as a whole.
        cost: what it is taken to cost.
    """

    app_name: str
    app_sha256: str
    launch: Launch
    sites: tuple[Site, ...]
    problems: tuple[str, ...]
    cost: Cost | None = None

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
    """A run that is to start, or to go on, with its signed permit."""

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
    lost: tuple[Start, ...]
