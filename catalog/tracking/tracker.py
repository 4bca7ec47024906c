"""Which ended runs are copied to the tracking server, and what of them: what anybody may see who decides on nothing.

A run whose release is needed is not copied before it is released, and then without what was not released. The run card
stays at the lab, as it names people. Each copy is an event in the audit chain, by which it is known that it was made. A
server that is away holds nothing up: a copy that failed is made anew later, from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
BEGUN, COPIED = "tracking.begun", "run.tracked"
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


class Tracker:
    """Copies the ended runs of one lab; its methods are called by one thread.

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

    def copy(self) -> None:
        """Copy the runs that are ready for it and have not been copied."""
        for key in self._candidates():
            run = self._store.get(RunRecord, "runs", key)
            due, wait = self._later.get(key, (now(), FIRST_WAIT))
            if due > now() or not is_ready(run):
                continue
            try:
                self._copy(run)
                self._later.pop(key, None)
            except DatalabError as error:
                _log.warning("run not copied to the tracking server", run=key, error=str(error))
                self._later[key] = now() + wait, min(2 * wait, LONGEST_WAIT)

    def _candidates(self) -> list[str]:
        """Return the runs that have ended since tracking began, at this server, and have not been copied."""
        rows = self._store.rows(
            "SELECT min(time) FROM events WHERE action = ? AND (details ->> 'address') = ?", [BEGUN, self._address]
        )
        if rows[0][0] is None:
            with self._store.change(ACTOR) as change:
                change.event(BEGUN, "lab/tracking", address=self._address)
            return []
        found = self._store.scan(
            "SELECT id FROM runs WHERE (record ->> 'state') IN ('finished', 'failed', 'stopped') "
            "AND (record ->> 'finished') >= ? AND ('run/' || id) NOT IN "
            "(SELECT subject FROM events WHERE action = ? AND (details ->> 'address') = ?) "
            "ORDER BY record ->> 'finished'",
            [rows[0][0].replace("+00:00", "Z"), COPIED, self._address],
        )
        return [row[0] for row in found]

    def _copy(self, run: RunRecord) -> None:
        shown, held = releases.shown(run, _ANYBODY), releases.is_held(run, _ANYBODY)
        files = [one for one in shown.artifacts if one.name != releases.CARD]
        began, ended = run.started or run.created, run.finished or run.created
        with Mlflow(self._address, self._credentials) as server:
            experiment = server.experiment(f"datalab/{run.organisation or 'lab'}")
            tracked = None
            for one in server.find(experiment, TAG, run.id):
                if one.status == "RUNNING":  # a copy that failed half-way
                    server.delete(one)
                else:  # whole, and this lab was stopped before it could put that on record
                    tracked = one
            if tracked is None:
                tracked = server.create(experiment, run.id, _milliseconds(began), _tags(run))
                metrics = [] if held else list(_metrics(self._rounds(run), began))
                server.log(tracked, _parameters(shown), metrics)
                self._put(server, tracked, files)
                server.end(tracked, _STATUS[run.state], _milliseconds(ended))
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


def _metrics(rounds: Sequence[Round], began: datetime) -> Iterator[Metric]:
    passed = 0.0
    for one in rounds:
        passed += one.seconds
        time = _milliseconds(began) + round(passed * 1000)
        loss = {} if one.loss is None else {"loss": one.loss}
        measured = {"seconds": one.seconds, "bytes_down": one.bytes_down, "bytes_up": one.bytes_up}
        for name, value in {**one.metrics, **loss, **measured}.items():
            yield Metric(name, float(value), one.number, time)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
