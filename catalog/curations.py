"""Curation runs that the lab server starts when a file was uploaded: one at a time, each a process of its own.

What a run is at lies in its folder (``datalab.curation.progress``), so that a page shows it live, and still does when
the lab server was started again. A process ends with the lab server; its run is then interrupted, and can be repeated.
"""

from __future__ import annotations

import csv
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import structlog

from catalog.store import Store
from datalab.curation import progress
from datalab.curation.engine import REJECTS, REPORT
from datalab.curation.leftovers import WORK, is_in_use, remove_leftovers
from datalab.curation.progress import Step
from datalab.curation.report import CurationReport
from datalab.errors import DatalabError, NotFoundError, ServiceFailedError, error_of_child
from datalab.home import Home
from datalab.service import python_module

PIPELINE = "pipelines.run"
"""The module that curates one upload; a layer above this one, so it is started and not imported."""
FIRST = 25
"""Findings that a page shows; the whole list is a file."""
_log = structlog.get_logger()


@dataclass(frozen=True)
class Finding:
    """One line of the rejects file: where the contract is broken, and by which rule; never the value."""

    line: str
    column: str
    rule: str
    value_class: str


@dataclass(frozen=True)
class Rejects:
    """What was rejected: how often each rule was broken in each column, and the first findings."""

    by_rule: dict[tuple[str, str], int]
    first: tuple[Finding, ...]
    total: int


@dataclass(frozen=True)
class Curation:
    """One run, as it stands."""

    dataset: str
    run: str
    progress: progress.Progress
    alive: bool
    folder: Path

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return not self.alive

    @property
    def state(self) -> str:
        """A short text that is another one whenever something has happened."""
        at = self.progress.current
        step = self.progress.steps.get(at)
        return f"{at}.{step.state if step else 'waiting'}.{'alive' if self.alive else 'ended'}"

    @property
    def interrupted(self) -> bool:
        """Whether it ended without a word, because the lab server did."""
        return not self.alive and self.progress.version is None and self.progress.failure is None

    @property
    def log(self) -> tuple[Step, ...]:
        """What has happened, step by step."""
        return progress.history(self.folder)

    @property
    def report(self) -> CurationReport | None:
        """The quality record, as soon as there is one."""
        path = self.folder / REPORT
        return CurationReport.model_validate_json(path.read_bytes()) if path.exists() else None

    @property
    def rejects_file(self) -> Path:
        """Where the rejects are listed, once the file was looked at."""
        return self.folder / REJECTS

    def rejects(self) -> Rejects | None:
        """Return what was rejected, or None before that is known."""
        if not self.rejects_file.exists():
            return None
        with self.rejects_file.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            first = list(islice(rows, FIRST))
            by_rule = Counter((row["column"], row["rule"]) for row in chain(first, rows))
        findings = tuple(Finding(one["line"], one["column"], one["rule"], one["value_class"]) for one in first)
        return Rejects(dict(by_rule.most_common()), findings, by_rule.total())


@dataclass
class Curations:
    """The curation runs of one lab."""

    home: Home
    store: Store
    _alive: dict[str, threading.Thread] = field(default_factory=dict)
    _processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _closing: bool = False

    def __post_init__(self) -> None:
        """Remove the data that runs left lying about when the machine, or they, were killed."""
        remove_leftovers(self.home.folder("curation"))

    def start(self, dataset: str, receive: Callable[[], str], published: Callable[[], None], *, actor: str) -> str:
        """Start a run, and return its name at once.

        Args:
            dataset: on record.
            receive: puts the raw file together and returns the id of its upload.
            published: called when a version has been published.
            actor: the account that asked for it.
        """
        run = str(uuid.uuid4())
        folder = self.home.folder("curation", dataset, run)
        with self.store.change(actor) as change:
            change.event("curation.started", f"dataset/{dataset}", run=run)
        progress.tell(folder, "received", "running")
        thread = threading.Thread(
            target=self._work, args=(dataset, run, folder, receive, published, actor), daemon=True
        )
        self._alive[run] = thread
        thread.start()
        return run

    def find(self, dataset: str, run: str) -> Curation:
        """Return a run; NotFoundError if there is none."""
        folder = self.home.path / "curation" / dataset / run
        if not folder.is_dir():
            raise NotFoundError(f"There is no curation run {run}.", next_step="See the dataset's versions.")
        alive = run in self._alive or is_in_use(folder / WORK)  # asked first: what is read next is then complete
        found = progress.read(folder)
        settled = found.failure is not None or found.version is not None  # its process takes a moment to end
        return Curation(dataset, run, found, alive and not settled, folder)

    def of(self, dataset: str) -> list[Curation]:
        """Return the runs of a dataset whose folders are there, whoever started them, the newest first."""
        folder = self.home.path / "curation" / dataset
        runs = [self.find(dataset, one.name) for one in folder.glob("*") if one.is_dir()]
        return sorted((one for one in runs if one.log), key=lambda one: one.log[0].at, reverse=True)

    def wait(self, run: str) -> None:
        """Wait until a run has ended."""
        if (thread := self._alive.get(run)) is not None:
            thread.join()

    def close(self) -> None:
        """Stop the run that is at work; those that wait do not begin."""
        self._closing = True
        for process in list(self._processes.values()):
            process.terminate()
        for thread in list(self._alive.values()):
            thread.join(10)

    def _work(
        self,
        dataset: str,
        run: str,
        folder: Path,
        receive: Callable[[], str],
        published: Callable[[], None],
        actor: str,
    ) -> None:
        try:
            upload = receive()
            progress.tell(folder, "received", "done")
            with self._turn:
                if self._closing:
                    return
                self._curate(run, upload)
            published()
        except DatalabError as error:
            if progress.read(folder).failure is None:
                progress.tell_failure(folder, error)
        except Exception as error:  # noqa: BLE001 - whoever watches the run must hear of it; the log has the kind
            _log.error("curation", run=run, kind=type(error).__name__)
            progress.tell_failure(folder, ServiceFailedError("The lab met an unexpected problem."))
        finally:
            if not self._closing:
                ended = progress.read(folder)
                with self.store.change(actor) as change:
                    change.event("curation.ended", f"dataset/{dataset}", run=run, version=ended.version)
            del self._alive[run]

    def _curate(self, run: str, upload: str) -> None:
        command = [*python_module(PIPELINE), "--home", str(self.home.path), "--upload", upload, "--run", run]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            self._processes[run] = process
            assert process.stderr is not None
            said = process.stderr.read()
        del self._processes[run]
        remove_leftovers(self.home.folder("curation"))  # a process that was killed has not cleared up
        if process.returncode != 0 and not self._closing:
            raise error_of_child(said, process.returncode, "The pipeline ended without a word.")
