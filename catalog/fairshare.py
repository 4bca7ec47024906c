"""Which waiting runs start now: weighted fair share across classes of organisations, as a pure function.

A class that has had less than its share goes first; within a class the organisation that has had least; within an
organisation the higher priority, then the older run. What counts is node-time, and the past counts less the longer ago
it is. Nothing that runs is ever taken off. Start-ups and SMEs have a floor: below it they go first whatever they had.

For a run that has long found no room, places are kept free (EASY backfilling: Lifka, JSSPP 1995). Until deadlines say
that it can start, they are used by runs that will have ended by then, and by those for which there is room beside it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from datalab.settings import Compute, OrganisationClass

HOUR = 3600.0
EXPECTED_SECONDS = 600.0
"""How long a run is taken to last until it is known."""


class Why(StrEnum):
    """Why a run waits."""

    ROOM = "room"
    HELD_FREE = "held-free"
    QUOTA = "quota"
    TOO_LARGE = "too-large"


class Job(NamedTuple):
    """A run that waits or goes on; times in seconds.

    Attributes:
        nodes: places that it takes.
        since: when it was submitted, or started.
        expected: how long it is taken to last.
        limit: after how long it is stopped, where it has a deadline.
    """

    id: str
    organisation: str
    nodes: int
    since: float
    priority: int = 0
    expected: float = EXPECTED_SECONDS
    limit: float | None = None


class Use(NamedTuple):
    """What the ended runs of an organisation have used: node-seconds in all of the period, and as they count now."""

    period: float = 0.0
    recent: float = 0.0


@dataclass(frozen=True)
class Waiting:
    """Why a run waits, and how many go before it."""

    why: Why
    ahead: int


@dataclass(frozen=True)
class Decision:
    """What starts now, in this order, and why the others wait.

    Attributes:
        standing: by class, which part of what counts it has had, against ``Compute.shares``.
    """

    start: tuple[str, ...]
    waiting: Mapping[str, Waiting]
    standing: Mapping[OrganisationClass, float]


def faded(node_seconds: float, *, age: float, rules: Compute) -> float:
    """Return what a use that ended ``age`` seconds ago counts now."""
    return node_seconds * float(0.5 ** (age / (rules.half_life_hours * HOUR)))


def decide(
    rules: Compute, waiting: Iterable[Job], running: Iterable[Job], used: Mapping[str, Use], now: float
) -> Decision:
    """Return which of the waiting runs start now.

    Args:
        rules: shares, floor, quotas, places.
        waiting: runs that could start.
        running: runs that hold places.
        used: by organisation, what its ended runs have used.
        now: the time.
    """
    state = _State(rules, used)
    for job in running:
        state.take(job, max(job.expected, now - job.since), began=job.since)
    standing = state.standing()
    queues: dict[str, list[Job]] = defaultdict(list)
    for job in sorted(waiting, key=_order, reverse=True):  # the first in line is the last of the list
        queues[job.organisation].append(job)
    start: list[str] = []
    waits: dict[str, Waiting] = {}
    kept: _Kept | None = None
    ahead = 0
    while queues:
        organisation = state.next(queues)
        job = queues[organisation].pop()
        if not queues[organisation]:
            del queues[organisation]
        why = state.why_not(job)
        if why is None and kept is not None and not kept.lets(job, now):
            why = Why.HELD_FREE
        if why is None:
            state.take(job, job.expected, began=now)
            start.append(job.id)
            continue
        waits[job.id] = Waiting(why, ahead)
        ahead += why not in (Why.QUOTA, Why.TOO_LARGE)
        if why is Why.ROOM:
            state.pass_over(job)
            if kept is None and now - job.since > rules.patience_hours * HOUR:
                kept = state.keep_free(job, now)
    return Decision(tuple(start), waits, standing)


def _order(job: Job) -> tuple[int, float, str]:
    return -job.priority, job.since, job.id


@dataclass
class _Kept:
    """What is kept free for a run: it can start at ``by`` at the latest, and then so many places are left beside it."""

    by: float
    beside: int

    def lets(self, job: Job, now: float) -> bool:
        """Whether a run may start before the one that is waited for; it is counted if it stays beside that."""
        if job.limit is not None and now + job.limit <= self.by < math.inf:
            return True
        if job.nodes > self.beside:
            return False
        self.beside -= job.nodes
        return True


@dataclass
class _State:
    rules: Compute
    used: Mapping[str, Use]
    places: dict[OrganisationClass, int] = field(default_factory=lambda: defaultdict(int))
    # What counts, by organisation and by class: the past, and what the runs that go on are taken to use.
    counts: dict[str, float] = field(default_factory=dict)
    by_class: dict[OrganisationClass, float] = field(default_factory=lambda: defaultdict(float))
    promised: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    kinds: dict[str, OrganisationClass] = field(default_factory=dict)
    taken: int = 0
    # When places are free again at the latest, and how many.
    ends: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = {name: use.recent for name, use in self.used.items()}
        for name, count in self.counts.items():
            self.by_class[self._kind(name)] += count

    def _kind(self, organisation: str) -> OrganisationClass:
        if organisation not in self.kinds:
            self.kinds[organisation] = self.rules.organisation(organisation).kind
        return self.kinds[organisation]

    def take(self, job: Job, seconds: float, began: float) -> None:
        self.taken += job.nodes
        if job.limit is not None:
            self.ends.append((began + job.limit, job.nodes))
        self.places[self._kind(job.organisation)] += job.nodes
        self.promised[job.organisation] += job.nodes * seconds
        self._count(job, seconds)

    def keep_free(self, job: Job, now: float) -> _Kept:
        """Return when a run that does not fit can start at the latest; nobody knows where too few have deadlines."""
        free = self.rules.node_places - self.taken
        for end, nodes in sorted(self.ends):
            free += nodes
            if free >= job.nodes:
                return _Kept(max(end, now), free - job.nodes)
        return _Kept(math.inf, 0)

    def pass_over(self, job: Job) -> None:
        """Count a run that is first in line and does not fit: others come next."""
        self._count(job, job.expected)

    def _count(self, job: Job, seconds: float) -> None:
        self.counts[job.organisation] = self.counts.get(job.organisation, 0.0) + job.nodes * seconds
        self.by_class[self._kind(job.organisation)] += job.nodes * seconds

    def next(self, queues: Mapping[str, list[Job]]) -> str:
        """Return the organisation whose turn it is."""
        classes = {self._kind(name) for name in queues}
        below = self.places["sme"] < self.rules.sme_floor * self.rules.node_places
        if "sme" in classes and below:
            turn: OrganisationClass = "sme"
        else:
            turn = min(classes, key=lambda kind: (self.by_class[kind] / self.rules.shares[kind], kind))
        return min(
            (name for name in queues if self._kind(name) == turn), key=lambda name: (self.counts.get(name, 0.0), name)
        )

    def why_not(self, job: Job) -> Why | None:
        quota = self.rules.organisation(job.organisation).node_hours
        spent = self.used.get(job.organisation, Use()).period + self.promised[job.organisation]
        if job.nodes > self.rules.node_places:
            return Why.TOO_LARGE
        if quota is not None and spent >= quota * HOUR:
            return Why.QUOTA
        if self.taken + job.nodes > self.rules.node_places:
            return Why.ROOM
        return None

    def standing(self) -> dict[OrganisationClass, float]:
        total = sum(self.by_class.values())
        return {kind: self.by_class[kind] / total if total else 0.0 for kind in self.rules.shares}
