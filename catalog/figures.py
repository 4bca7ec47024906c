"""What the lab server tells Prometheus: runs and how long they waited, requests and how long they took, backups.

Runs are counted from what is on record, so that figures do not begin anew with the process. They are read once, and
again when they change.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric

from catalog.run_records import RUN_TRANSITIONS, RunState
from catalog.store import Committed, Store, now
from datalab.settings import Compute

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RUNS = (
    "SELECT id, record ->> 'state', coalesce(record ->> 'organisation', ''), (record ->> 'launch') IS NOT NULL, "
    "record ->> 'created', record ->> 'started', record ->> 'finished' FROM runs"
)


class Figures:
    """The figures of one lab server.

    Args:
        store: the catalog's records.
        rules: say of which class an organisation is.
        shipped: returns when the newest backup was last brought up to date; None where the lab takes none by itself.

    Attributes:
        registry: what is served.
    """

    def __init__(self, store: Store, rules: Compute, shipped: Callable[[], datetime | None] | None = None) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "datalab_http_request_seconds",
            "Requests that the lab server has answered; those that wait for news are of the surface stream.",
            ["surface", "method", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._runs = _Runs(store)
        self._rules = rules
        self._shipped = shipped
        self.registry.register(self)

    def request(self, *, surface: str, method: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            surface: the part of the lab that has answered, one of few.
            method: of HTTP.
            status: of the answer; 0 where there was none.
            seconds: that it took.
        """
        method = method if method in METHODS else "other"
        self._requests.labels(surface, method, f"{status // 100}xx" if status else "none").observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Return what is counted at the moment that it is asked for."""
        runs = self._runs.now()
        yield _by_state(runs)
        yield from self._waiting(runs)
        yield _lasted(runs)
        if self._shipped is not None:
            backup = GaugeMetricFamily(
                "datalab_backup_timestamp_seconds", "When the newest backup had all changes; 0 before there is one."
            )
            shipped = self._shipped()
            backup.add_metric([], shipped.timestamp() if shipped else 0.0)
            yield backup

    def _waiting(self, runs: list[_Run]) -> Iterable[Metric]:
        """Return the queue by class of organisations: how long it is, for how long it has waited, and did before."""
        queue = GaugeMetricFamily("datalab_queue_runs", "Runs that wait in the queue.", labels=["class"])
        oldest = GaugeMetricFamily(
            "datalab_queue_oldest_seconds", "For how long the oldest run in the queue has waited.", labels=["class"]
        )
        waited = SummaryMetricFamily(
            "datalab_queue_wait_seconds",
            "From submission to start, of runs that started.",
            labels=["class"],
        )
        moment = now()
        for kind in self._rules.shares:
            own = [one for one in runs if one.queued and self._rules.organisation(one.organisation).kind == kind]
            waiting = [one.created for one in own if one.state == RunState.QUEUED]
            started = [(one.started - one.created).total_seconds() for one in own if one.started]
            queue.add_metric([kind], len(waiting))
            oldest.add_metric([kind], (moment - min(waiting)).total_seconds() if waiting else 0.0)
            waited.add_metric([kind], len(started), sum(started))
        return queue, oldest, waited


class _Run(NamedTuple):
    state: str
    organisation: str
    queued: bool
    created: datetime
    started: datetime | None
    finished: datetime | None


class _Runs:
    """What is on record of runs, as far as it is counted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed: set[str] = set()
        self._reading = threading.Lock()
        store.follow(self._note)
        self._known = dict(map(_read, store.scan(_RUNS)))

    def now(self) -> list[_Run]:
        """Return all runs as they are at this moment."""
        with self._reading:
            changed = [self._changed.pop() for _ in range(len(self._changed))]
            if changed:
                self._known |= map(_read, self._store.scan(f"{_RUNS} WHERE list_contains(?, id)", [changed]))
            return list(self._known.values())

    def _note(self, change: Committed) -> None:
        self._changed |= {one.subject.split("/")[1] for one in change.events if one.subject.startswith("run/")}


def _read(row: tuple[str, ...]) -> tuple[str, _Run]:
    key, state, organisation, queued, *times = row
    created, started, finished = (datetime.fromisoformat(one) if one else None for one in times)
    assert created is not None
    return key, _Run(state, organisation, bool(queued), created, started, finished)


def _by_state(runs: list[_Run]) -> Metric:
    family = GaugeMetricFamily("datalab_runs", "Runs on record, by where they stand.", labels=["state"])
    counted = Counter(one.state for one in runs)
    for state in RunState:
        family.add_metric([state], counted[state])
    return family


def _lasted(runs: list[_Run]) -> Metric:
    family = SummaryMetricFamily("datalab_run_seconds", "From a run's start to its end.", labels=["state"])
    lasted: defaultdict[str, list[float]] = defaultdict(list)
    for one in runs:
        if one.started and one.finished:
            lasted[one.state].append((one.finished - one.started).total_seconds())
    for state in (one for one in RunState if not RUN_TRANSITIONS[one]):
        family.add_metric([state], len(lasted[state]), sum(lasted[state]))
    return family
