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
    """A node; ``ending`` where it is to be kept no more, and ``told`` once it knows."""

    part: Part
    ending: bool = False
    told: bool = False
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
        for path in sorted((lab.path / "nodes").glob("*")):
            job = place.find(node_of(lab, path.name))
            if job is not None:
                one = self._kept.setdefault(path.name, _Kept(node_of(lab, path.name), ending=True))
                one.job, one.began = job, time.monotonic()

    def step(self) -> None:
        """Look at every node; start those that do not run, and end those that are kept no more."""
        for name, one in list(self._kept.items()):
            try:
                self._look(one, time.monotonic())
            except DatalabError as error:  # it is tried again
                log.warning("a compute node could not be seen to", node=name, error=str(error))
            if one.ending and one.job is None:
                del self._kept[name]

    def leave(self) -> None:
        """Let go of all of them as this process ends."""
        for one in self._kept.values():
            if one.job is not None:
                self._place.leave(one.job)

    def _look(self, one: _Kept, now: float) -> None:
        if one.job is None:
            if not one.ending and now >= one.again:
                self._start(one, now)
        elif (code := one.job.poll()) is not None:
            self._place.forget(one.part, one.job)
            announced_no_more(one.part)
            log.warning("a compute node has ended", node=one.part.name, code=code)
            if now - one.began > LASTED:
                one.wait = FIRST_WAIT
            one.job, one.again = None, now + one.wait
        elif one.ending and not one.told:
            one.job.terminate()
            one.told = True

    def _start(self, one: _Kept, now: float) -> None:
        one.again, one.wait = now + one.wait, min(2 * one.wait, LONGEST_WAIT)  # should it not begin, or not last
        one.job, one.began = self._place.start(one.part), now
        log.info("compute node started", node=one.part.name)
