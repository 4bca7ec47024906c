"""Which runs are copied to the tracking server, and what of them: what anybody may see who decides on nothing.

A run is there from its start, and gets each round as it ends, unless its release is needed: that one is not copied
before it is released, and then without what was not released. The run card stays at the lab, as it names people. Each
copy is an event in the audit chain, by which it is known that it was made. A server that is away holds nothing up: a
copy that failed is made anew later, from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from catalog.progress import Round
from catalog.records import AccountDraft, Role
from catalog.release import releases
from catalog.release.transitions import ReleaseState
from catalog.run_records import Artifact, RunRecord, RunState
from catalog.store import Store, now
from catalog.tracking.mlflow import Metric, Mlflow, Status, TrackedRun
from datalab.errors import DatalabError, NotFoundError
from datalab.home import Home
from datalab.settings import Tracking
from datalab.storage.store import ObjectStore

ACTOR = "tracking"
CREDENTIALS = "mlflow"
"""The file with the credentials, below ``secrets``."""
BEGUN, FOLLOWED, COPIED = "tracking.begun", "run.tracking", "run.tracked"
"""Actions in the audit chain."""
TAG = "datalab.run"
CARD_SECONDS = 600.0
"""For so long the card of a run that was stopped is waited for."""
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
_STATUS: dict[RunState, Status] = {
    RunState.FINISHED: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.STOPPED: "KILLED",
}
_ANYBODY = AccountDraft(name=ACTOR, role=Role.RESEARCHER, organisation=ACTOR)
_log = structlog.get_logger()


@dataclass
class _Followed:
    """The copy of a run that goes on; so many of its rounds are there."""

    tracked: TrackedRun
    rounds: int = 0


class Tracker:
    """Copies the runs of one lab; its methods are called by one thread.

    Args:
        store: the catalog's records.
        objects: the lab's object store.
        address: of the tracking server.
        credentials: for it, see ``Mlflow``.
        rounds: returns how a run went, round by round.
    """

    def __init__(
        self,
        store: Store,
        objects: ObjectStore,
        address: str,
        credentials: str | None,
        rounds: Callable[[RunRecord], Sequence[Round]],
    ) -> None:
        self._store = store
        self._objects = objects
        self._address = address
        self._credentials = credentials
        self._rounds = rounds
        # Runs that could not be copied: when they are tried again, and how long it was until then.
        self._later: dict[str, tuple[datetime, timedelta]] = {}
        self._followed: dict[str, _Followed] = {}

    def copy(self) -> None:
        """Copy what has come: the rounds of runs that go on, and the runs that are ready and have not been copied."""
        since = self._since()
        if since is None:
            return
        for run in self._runs("(record ->> 'state') = 'running' AND (record ->> 'started') >= ?", [since]):
            if run.release is None:
                self._try(run, self._follow)
        ended = (
            "(record ->> 'state') IN ('finished', 'failed', 'stopped') AND (record ->> 'finished') >= ? "
            "AND ('run/' || id) NOT IN (SELECT subject FROM events WHERE action = ? AND (details ->> 'address') = ?)"
        )
        for run in self._runs(ended, [since, COPIED, self._address]):
            if is_ready(run):
                self._try(run, self._copy)

    def _since(self) -> str | None:
        """Return when tracking began at this server; None if that is now."""
        rows = self._store.rows(
            "SELECT min(time) FROM events WHERE action = ? AND (details ->> 'address') = ?", [BEGUN, self._address]
        )
        if rows[0][0] is None:
            with self._store.change(ACTOR) as change:
                change.event(BEGUN, "lab/tracking", address=self._address)
            return None
        return str(rows[0][0]).replace("+00:00", "Z")

    def _runs(self, where: str, values: Sequence[str]) -> Iterator[RunRecord]:
        found = self._store.scan(f"SELECT id FROM runs WHERE {where} ORDER BY record ->> 'started'", values)
        return (self._store.get(RunRecord, "runs", row[0]) for row in list(found))

    def _try(self, run: RunRecord, what: Callable[[RunRecord], None]) -> None:
        """Do something about a run now, or later and later where that fails."""
        due, wait = self._later.get(run.id, (now(), FIRST_WAIT))
        if due > now():
            return
        try:
            what(run)
            self._later.pop(run.id, None)
        except DatalabError as error:
            _log.warning("run not copied to the tracking server", run=run.id, error=str(error))
            self._followed.pop(run.id, None)  # nobody knows how much of it has arrived
            self._later[run.id] = now() + wait, min(2 * wait, LONGEST_WAIT)

    def _follow(self, run: RunRecord) -> None:
        """Copy the rounds of a run that have ended since the last time."""
        with Mlflow(self._address, self._credentials) as server:
            if (followed := self._followed.get(run.id)) is None:
                self._followed[run.id] = followed = _Followed(self._begin(server, run))
                with self._store.change(ACTOR) as change:
                    change.event(FOLLOWED, f"run/{run.id}", address=self._address, copy=followed.tracked.id)
            self._add(server, run, followed, self._rounds(run)[:-1])  # the last one goes on

    def _add(self, server: Mlflow, run: RunRecord, followed: _Followed, rounds: Sequence[Round]) -> None:
        new = [one for at, some in enumerate(_metrics(rounds, _began(run))) if at >= followed.rounds for one in some]
        server.log(followed.tracked, {}, new)
        followed.rounds = len(rounds)

    def _begin(self, server: Mlflow, run: RunRecord) -> TrackedRun:
        """Begin a run's copy, in place of one that was not brought to its end."""
        experiment = server.experiment(_experiment(run))
        for one in server.find(experiment, TAG, run.id):
            if one.status == "RUNNING":
                server.delete(one)
        tracked = server.create(experiment, run.id, _milliseconds(_began(run)), _tags(run))
        server.log(tracked, _parameters(releases.shown(run, _ANYBODY)), [])
        return tracked

    def _copy(self, run: RunRecord) -> None:
        shown, held = releases.shown(run, _ANYBODY), releases.is_held(run, _ANYBODY)
        files = [one for one in shown.artifacts if one.name != releases.CARD]
        with Mlflow(self._address, self._credentials) as server:
            known = server.find(server.experiment(_experiment(run)), TAG, run.id)
            tracked = next((one for one in known if one.status != "RUNNING"), None)
            if tracked is None:  # else it is whole, and this lab was stopped before it could put that on record
                followed = self._followed.get(run.id) or _Followed(self._begin(server, run))
                tracked = followed.tracked
                self._add(server, run, followed, [] if held else self._rounds(run))
                server.log(tracked, _parameters(shown), [])
                self._put(server, tracked, files)
                server.end(tracked, _STATUS[run.state], _milliseconds(run.finished or run.created))
        self._followed.pop(run.id, None)
        with self._store.change(ACTOR) as change:
            change.event(
                COPIED,
                f"run/{run.id}",
                address=self._address,
                copy=tracked.id,
                metrics=not held,
                files={one.name: one.sha256 for one in files},
            )

    def _put(self, server: Mlflow, tracked: TrackedRun, files: Sequence[Artifact]) -> None:
        for one in files:
            with self._objects.open(one.uri.removeprefix(self._objects.uri(""))) as source:
                server.put(tracked, one.name, source)


def is_ready(run: RunRecord) -> bool:
    """Return whether a run that has ended may be copied, and all that it left is there."""
    if run.release is not None and run.release.state is not ReleaseState.RELEASED:
        return False
    age = (now() - (run.finished or run.created)).total_seconds()
    return run.card is not None or run.started is None or age > CARD_SECONDS


def credentials(home: Home) -> str | None:
    """Return the credentials of the tracking server; None where there is no file with them.

    Raises:
        NotFoundError: it is there, and empty.
    """
    path = home.path / "secrets" / CREDENTIALS
    if not path.is_file():
        return None
    if not (text := path.read_text(encoding="utf-8").strip()):
        raise NotFoundError(
            "The file with the credentials of the tracking server is empty.",
            where=str(path),
            next_step="Write user:password or a token into it, or remove it.",
        )
    return text


def tracker(
    home: Home,
    store: Store,
    objects: ObjectStore,
    settings: Tracking,
    rounds: Callable[[RunRecord], Sequence[Round]],
) -> Tracker | None:
    """Return what copies runs, or None where no tracking server is named (raises as ``credentials``)."""
    if settings.mlflow is None:
        return None
    return Tracker(store, objects, settings.mlflow, credentials(home), rounds)


def _tags(run: RunRecord) -> dict[str, str]:
    return {
        TAG: run.id,
        "datalab.app_sha256": run.app_digest,
        "datalab.app": run.launch.app if run.launch else "",
        "datalab.permits": ", ".join(run.permits),
        "datalab.datasets": ", ".join(f"{one.dataset} v{one.version}" for one in run.datasets),
        "datalab.nodes": ", ".join(run.nodes),
        "datalab.organisation": run.organisation or "",
        "mlflow.source.name": run.launch.app if run.launch else run.app_digest,
        "mlflow.source.type": "JOB",
    }


def _parameters(run: RunRecord) -> dict[str, object]:
    """Return what a run was asked for; with its card, over what the app takes by itself."""
    asked: dict[str, object] = dict(run.launch.settings) if run.launch else {}
    if run.card is not None:
        asked = {**run.card["app"]["config"], **asked, "seed": run.card["seed"]}
    return asked


def _experiment(run: RunRecord) -> str:
    return f"datalab/{run.organisation or 'lab'}"


def _began(run: RunRecord) -> datetime:
    return run.started or run.created


def _metrics(rounds: Sequence[Round], began: datetime) -> Iterator[list[Metric]]:
    """Yield the metrics of each round."""
    passed = 0.0
    for one in rounds:
        passed += one.seconds
        time = _milliseconds(began) + round(passed * 1000)
        loss = {} if one.loss is None else {"loss": one.loss}
        measured = {"seconds": one.seconds, "bytes_down": one.bytes_down, "bytes_up": one.bytes_up}
        values = {**one.metrics, **loss, **measured}
        yield [Metric(name, float(value), one.number, time) for name, value in values.items()]


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
