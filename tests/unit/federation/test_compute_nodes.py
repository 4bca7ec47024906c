"""Compute nodes are started again later and later, and a place that fails takes nothing else down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from datalab.errors import ServiceFailedError
from datalab.home import Home
from federation.scheduler.nodes import ComputeNodes
from federation.scheduler.places import Job, Part


@dataclass
class Ended:
    """A job that has ended at once."""

    returncode: int | None = 1

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        raise ServiceFailedError("It does not answer.")

    def kill(self) -> None: ...

    def wait(self) -> int:
        return 1


@dataclass
class Failing:
    """A place that does not take anything, or whose jobs end at once."""

    takes: bool
    left: Job | None = None
    started: list[str] = field(default_factory=list)

    def start(self, part: Part) -> Job:
        self.started.append(part.name)
        if not self.takes:
            raise ServiceFailedError("It does not answer.")
        return Ended()

    def find(self, part: Part) -> Job | None:
        return self.left if part.kind == "node" else None

    def delay(self, job: Job) -> None: ...

    def forget(self, part: Part, job: Job) -> None: ...

    def leave(self, job: Job) -> None: ...


@pytest.mark.parametrize("takes", [True, False])
def test_a_node_that_does_not_last_is_started_later_and_later(
    *, takes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("federation.scheduler.nodes.time.monotonic", lambda: clock[0])
    place = Failing(takes)
    kept = ComputeNodes(Home(tmp_path), place, ["gpu-1"])
    for _ in range(600):
        kept.step()
        clock[0] += 1.0
    assert 8 < len(place.started) < 20  # 1, 2, 4, … 60 seconds apart


def test_one_that_cannot_be_ended_now_is_told_again(tmp_path: Path) -> None:
    (tmp_path / "nodes" / "old").mkdir(parents=True)
    job = Ended(returncode=None)
    kept = ComputeNodes(Home(tmp_path), Failing(takes=True, left=job), [])
    kept.step()
    kept.step()
    job.returncode = 0
    kept.step()
    assert kept._kept == {}
