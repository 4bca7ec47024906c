"""A workload for the queue: bursts, one class idle for a while, one class flooding; and what works it off."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from dataclasses import dataclass, field

from catalog.fairshare import HOUR, Job, Use, decide, faded
from datalab.settings import Compute, Organisation, OrganisationClass

ORGANISATIONS: dict[str, OrganisationClass] = {
    "ministry": "public", "agency": "public",
    "university": "academia", "institute": "academia", "clinic": "academia",
    "start-up": "sme", "workshop": "sme", "studio": "sme", "lab-two": "sme",
    "works": "industry", "group": "industry",
}  # fmt: skip
RULES = Compute(
    node_places=32,
    organisations={name: Organisation(kind=kind) for name, kind in ORGANISATIONS.items()},
)
HEADS = 3
"""Runs of each organisation that are looked at for one decision; more could not start at one moment."""


def workload(jobs: int, seed: int, *, deadlines: float = 0.0) -> list[tuple[Job, float]]:
    """Return jobs by time of submission, each with how long it will last, which nobody knows before.

    So many of them, as a part of all, have a deadline: up to three times of what they will need.

    Industry floods from the beginning on. SMEs are away for the first third; the others come in bursts. In the last two
    thirds, everybody has more than there is room for.
    """
    chance, declared = random.Random(seed), random.Random(seed + 1)
    made: list[tuple[Job, float]] = []
    total_hours = jobs * 2.5 / RULES.node_places  # if every place were always taken
    for number in range(jobs):
        kind = chance.choices(("public", "academia", "sme", "industry"), weights=(20, 30, 28, 30))[0]
        name = chance.choice([one for one, its in ORGANISATIONS.items() if its == kind])
        at = {
            "industry": lambda: chance.uniform(0, 0.1),
            "sme": lambda: chance.uniform(0.33, 0.36),
            "public": lambda: chance.choice((0.0, 0.05, 0.2)),
            "academia": lambda: chance.uniform(0, 0.3),
        }[kind]()
        seconds = min(chance.expovariate(1 / HOUR), 6 * HOUR)
        limit = seconds * declared.uniform(1, 3) if declared.random() < deadlines else None
        job = Job(
            f"run-{number}",
            name,
            chance.choice((1, 1, 2, 2, 4, 5)),
            at * total_hours * HOUR,
            expected=HOUR,
            limit=limit,
        )
        made.append((job, seconds))
    return sorted(made, key=lambda one: one[0].since)


@dataclass
class Worked:
    """What came of a workload.

    Attributes:
        took: node-seconds by class, while every class was waiting, a warm-up apart.
        all_took: the same, from the moment on that every class was waiting.
        waited: longest wait of any run, in seconds.
        idle: part of the places that was free although a run waited that would have fitted.
        ended: runs that came to their end.
        saturated: seconds during which every class was waiting.
    """

    took: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    all_took: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    waited: float = 0.0
    idle: float = 0.0
    ended: int = 0
    saturated: float = 0.0


def work_off(rules: Compute, jobs: list[tuple[Job, float]], *, warm_up: float) -> Worked:  # noqa: C901 - one loop
    """Work a workload off, event by event."""
    worked = Worked()
    queues: dict[str, list[Job]] = defaultdict(list)
    lasts = {job.id: seconds for job, seconds in jobs}
    running: dict[str, Job] = {}
    ends: list[tuple[float, str]] = []
    used: dict[str, Use] = {name: Use() for name in rules.organisations}
    as_of = dict.fromkeys(rules.organisations, 0.0)
    arrivals = iter(jobs)
    coming = next(arrivals, None)
    now = 0.0
    while coming or ends:
        before, now = now, min(([coming[0].since] if coming else []) + ([ends[0][0]] if ends else []))
        worked_for = now - before
        classes = {rules.organisation(name).kind for name, queue in queues.items() if queue}
        if len(classes) == 4:
            worked.saturated += worked_for
            for job in running.values():
                kind = rules.organisation(job.organisation).kind
                worked.all_took[kind] += job.nodes * worked_for
                if worked.saturated > warm_up:
                    worked.took[kind] += job.nodes * worked_for
        free = rules.node_places - sum(job.nodes for job in running.values())
        if any(job.nodes <= free for queue in queues.values() for job in queue[:HEADS]):
            worked.idle += free * worked_for
        while ends and ends[0][0] <= now:
            job = running.pop(heapq.heappop(ends)[1])
            name, spent = job.organisation, job.nodes * lasts[job.id]
            recent = faded(used[name].recent, age=now - as_of[name], rules=rules) + spent
            used[name], as_of[name] = Use(used[name].period + spent, recent), now
            worked.ended += 1
        while coming and coming[0].since <= now:
            queues[coming[0].organisation].append(coming[0])
            coming = next(arrivals, None)
        if sum(job.nodes for job in running.values()) == rules.node_places:
            continue
        counts = {n: Use(u.period, faded(u.recent, age=now - as_of[n], rules=rules)) for n, u in used.items()}
        heads = {job.id: job for queue in queues.values() for job in queue[:HEADS]}
        while started := decide(rules, heads.values(), running.values(), counts, now).start:
            for one in started:
                job = heads.pop(one)
                queues[job.organisation].remove(job)
                worked.waited = max(worked.waited, now - job.since)
                running[one] = job._replace(since=now)
                heapq.heappush(ends, (now + lasts[one], one))
            if len(started) < HEADS:  # nobody had more to start than was looked at
                break
            heads = {job.id: job for queue in queues.values() for job in queue[:HEADS]}
    worked.idle /= now * rules.node_places
    return worked
