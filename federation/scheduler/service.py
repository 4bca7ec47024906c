"""The scheduler process: ``python -m federation.scheduler.service --home HOME``.

The lab server decides (``catalog.queue``) and keeps the record; this process asks it what to do next, starts a runner
for each run and stops those that are cancelled or past their deadline. It keeps nothing of its own. A runner that dies
is started again, and a run that has begun, not ended, and is conducted by nobody is taken up: whoever has started it is
gone, or the whole lab was. Where a run's folder is gone, it is brought back from object storage first. Compute nodes of
the lab's own are kept going beside the runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from catalog.client import LabClient, lab_client
from catalog.errors import ConflictError
from catalog.launch import Start
from catalog.run_records import RUN_TRANSITIONS, RunPatch, RunRecord, RunState
from datalab.errors import DatalabError, NotFoundError, ServiceFailedError
from datalab.home import Home
from datalab.service import Service, run_service
from datalab.settings import Compute, load_settings
from datalab.supervisor import Supervisor
from federation import client, lab
from federation.run import RunFolder, RunPlace
from federation.scheduler.executor import Executor, PlacedExecutor
from federation.scheduler.kubernetes import KubernetesPlace
from federation.scheduler.nodes import ComputeNodes
from federation.scheduler.places import LocalPlace, Place
from federation.scheduler.slurm import SlurmPlace
from federation.shipped import JournalBrokenError

SERVICE = Service(name="scheduler", module="federation.scheduler.service", requires=("gateway", "lab"))
WAIT = 1.0
"""Seconds that the lab server may take to say that there is nothing to do; in between, runners are looked after."""
STOPPING = 0.1
"""Seconds between two looks at runners that have been told to stop."""
PAUSE = 1.0
"""Seconds until the lab server is asked again after it did not answer."""
log = structlog.get_logger()


def main(home: Home) -> None:
    """Start what is next, until told to stop."""
    with Supervisor() as supervisor:
        compute = load_settings(home).compute
        place = _place(compute, supervisor)
        scheduler = Scheduler(home, PlacedExecutor(place), ComputeNodes(home, place, compute.nodes))
        home.announce("scheduler")
        try:
            while True:
                scheduler.step(WAIT)
        finally:
            scheduler.leave()
            home.withdraw("scheduler")


def _place(settings: Compute, supervisor: Supervisor) -> Place:
    if settings.kubernetes is not None:
        return KubernetesPlace(settings.kubernetes)
    return SlurmPlace(settings.slurm) if settings.slurm is not None else LocalPlace(supervisor)


class Scheduler:
    """Does what the lab server says.

    Args:
        home: the lab's.
        executor: where runners run.
        nodes: the lab's own compute nodes.
    """

    def __init__(self, home: Home, executor: Executor, nodes: ComputeNodes) -> None:
        self._home = home
        self._executor = executor
        self._nodes = nodes
        self._deadlines: dict[str, float] = {}
        self._server: LabClient | None = None
        self._left: set[str] = set()
        self._taken: set[str] = set()
        # Runs that have ended: a lab has thousands, and looks for interrupted ones each second.
        self._ended: set[str] = set()

    def leave(self) -> None:
        """Let go of all runs; they are taken up when a scheduler is there again."""
        self._executor.leave()
        self._nodes.leave()

    def step(self, wait: float) -> None:
        """Ask once, and do what is said."""
        self._nodes.step()
        self._take_up()
        try:
            self._server = self._server or lab_client(self._home, "runner")
            self._do_next(self._server, wait)
        except (ServiceFailedError, NotFoundError) as error:
            log.warning("the lab server does not answer", error=str(error))
            if self._server is not None:  # it may come back at another address
                self._server.close()
                self._server = None
            time.sleep(PAUSE)

    def _do_next(self, server: LabClient, wait: float) -> None:
        self._end(server)
        self._stop_late(server)
        work = server.claim_runs(self._executor.known(), wait=wait)
        for run in work.stop:
            self._executor.stop(run)
        if work.stop:
            time.sleep(STOPPING)
        for lost in work.lost:
            folder = RunFolder(self._home.path / "runs" / lost.run.id)
            if not folder.spec.exists():
                self._recover(server, lost)
            elif not folder.unfinished:
                _fail(server, lost.run.id, "Its runner is gone: the lab was stopped, or the process was ended.")
            elif not folder.events.exists():  # its runner had not even begun
                self._take(folder)
        for one in work.start:
            self._start(server, one)

    def _start(self, server: LabClient, start: Start) -> None:
        run = start.run
        assert run.launch is not None, "a run in the queue says what it is"
        try:
            _, bundle = lab.find_app(self._home, run.app_digest)
            folder = client.lay_out(
                self._home,
                bundle,
                run_id=run.id,
                places=_places(run),
                permit=start.permit,
                purpose=run.launch.purpose or "",
                app_signature=run.launch.app_signature,
                config=run.launch.settings,
                seed=run.launch.seed,
            )
            self._executor.start(folder)
        except DatalabError as error:
            log.warning("a run could not be started", run=run.id, error=str(error))
            _fail(server, run.id, str(error))
            return
        if run.launch.deadline_minutes is not None:
            limit = timedelta(minutes=run.launch.deadline_minutes)
            self._deadlines[run.id] = (datetime.now(UTC) + limit).timestamp()
        log.info("started", run=run.id)

    def _take_up(self) -> None:
        """Take up runs that were conducted by nobody the last time either; each once, as more needs a person."""
        known = self._taken | self._ended
        unconducted = client.interrupted(self._home, self._ended)
        found = {one.path.name: one for one in unconducted if one.path.name not in known}
        for run in found.keys() & self._left:
            self._take(found[run])
        self._left = set(found)

    def _take(self, folder: RunFolder) -> None:
        run = folder.path.name
        self._taken.add(run)
        try:
            self._executor.start(folder)
            log.info("taken up", run=run)
        except DatalabError as error:
            log.warning("a run could not be taken up", run=run, error=str(error))

    def _recover(self, server: LabClient, lost: Start) -> None:
        """Go on with a run whose folder is gone: from object storage, or from the beginning where nothing is there.

        Either way its nodes know it by its offer, and say again what they have recorded.
        """
        run = lost.run.id
        try:
            folder = client.recover(self._home, run)
        except JournalBrokenError as error:
            log.error("a run cannot be brought back", run=run, error=str(error))
            _fail(server, run, str(error))
        except DatalabError as error:
            log.warning("a run cannot be brought back yet", run=run, error=str(error))
            time.sleep(PAUSE)
        else:
            if folder is None:
                log.warning("nothing of a run's journal is stored; it begins again", run=run)
                self._start(server, lost)
            else:
                self._take(folder)

    def _end(self, server: LabClient) -> None:
        for run, error in self._executor.reap().items():
            self._deadlines.pop(run, None)
            if not RunFolder(self._home.path / "runs" / run).spec.exists():
                log.warning("a run's folder is gone", run=run)
                continue  # the lab server says that the run is lost, and it is brought back
            _fail(server, run, str(error) if error else "Its runner ended without saying how the run went.")
            log.info("ended", run=run)

    def _stop_late(self, server: LabClient) -> None:
        for run, deadline in list(self._deadlines.items()):
            if datetime.now(UTC).timestamp() > deadline:
                del self._deadlines[run]
                _end_as(server, run, RunState.STOPPED, "Its deadline had passed.")


def _places(run: RunRecord) -> Sequence[RunPlace]:
    return [
        RunPlace(node=node, dataset=one.dataset, version=one.version)
        for node, one in zip(run.nodes, run.datasets, strict=True)
    ]


def _fail(server: LabClient, run: str, reason: str) -> None:
    _end_as(server, run, RunState.FAILED, reason)


def _end_as(server: LabClient, run: str, state: RunState, reason: str) -> None:
    """Record how a run ended, unless somebody has already."""
    while RUN_TRANSITIONS[(record := server.run(run)).state]:
        try:
            server.update_run(run, RunPatch(state=state, reason=reason[:5000]), revision=record.revision)
        except ConflictError:  # it has changed this very moment: look again
            continue
        return


if __name__ == "__main__":
    run_service(main)
