"""Keeps the lab's own compute nodes going, at the same places as runners (``federation.scheduler.places``)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from datalab.errors import DatalabError
from datalab.home import Home
from federation.scheduler.places import Job, Part, Place, announced_no_more, node_of

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds until a node that has ended is started again; twice as many each time that it has not lasted."""
LASTED = 300.0
"""Seconds after which a node's end counts as its first."""
log = structlog.get_logger()


@dataclass
class _Kept:
    part: Part
    job: Job | None = None
    began: float = 0.0
    again: float = 0.0
    wait: float = FIRST_WAIT


class ComputeNodes:
    """Compute nodes are started, and started again when they end; at a cluster, one outlives this process.

    A node goes on with its runs by itself: what it has recorded is in its home.

    Args:
        lab: the lab's home; a node's is ``nodes/NAME`` in it.
        place: where they run.
        names: the nodes that are kept going; those of before are ended.
    """

    def __init__(self, lab: Home, place: Place, names: Iterable[str]) -> None:
        self._place = place
        self._kept = {name: _Kept(node_of(lab, name)) for name in names}
        self._ending: list[_Kept] = []
        known = [node_of(lab, path.name) for path in sorted((lab.path / "nodes").glob("*"))]
        for part in known:
            job = place.find(part)
            if job is None:
                continue
            if part.name in self._kept:
                self._kept[part.name].job = job
                self._kept[part.name].began = time.monotonic()
            else:
                job.terminate()
                self._ending.append(_Kept(part, job))

    def step(self) -> None:
        """Look at every node; start those that do not run."""
        now = time.monotonic()
        for one in list(self._ending):
            if one.job is not None and one.job.poll() is not None:
                self._ended(one, one.job)
                self._ending.remove(one)
        for one in self._kept.values():
            if one.job is not None and (code := one.job.poll()) is not None:
                self._ended(one, one.job)
                log.warning("a compute node has ended", node=one.part.name, code=code)
                one.wait = FIRST_WAIT if now - one.began > LASTED else min(2 * one.wait, LONGEST_WAIT)
                one.job, one.again = None, now + one.wait
            if one.job is None and now >= one.again:
                self._start(one, now)

    def leave(self) -> None:
        """Let go of all of them as this process ends."""
        for one in self._kept.values():
            if one.job is not None:
                self._place.leave(one.job)

    def _start(self, one: _Kept, now: float) -> None:
        try:
            one.job, one.began = self._place.start(one.part), now
            log.info("compute node started", node=one.part.name)
        except DatalabError as error:
            log.warning("a compute node cannot be started", node=one.part.name, error=str(error))
            one.wait = min(2 * one.wait, LONGEST_WAIT)
            one.again = now + one.wait

    def _ended(self, one: _Kept, job: Job) -> None:
        self._place.forget(one.part, job)
        announced_no_more(one.part)
