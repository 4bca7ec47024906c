"""Runs from Python: ``lab.runs.submit(…)`` gives one; ``run.watch()`` tells and ``run.follow()`` shows how it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from catalog.errors import DataMismatchError
from catalog.launch import DryRun
from catalog.notebook import show
from catalog.progress import Progress
from catalog.run_records import ConfigValue, Launch, LaunchPlace, RunRecord
from datalab.boundary import bad_field
from datalab.canonical import sha256_hex

if TYPE_CHECKING:
    from catalog.client import LabClient

_WAIT = 10.0


class Runs:
    """The runs of a lab, as one account sees them: ``LabClient.runs``."""

    def __init__(self, lab: LabClient) -> None:
        self._lab = lab

    def all(self) -> list[RunRecord]:
        """Return the runs on record, by id."""
        return self._lab.run_records()

    def get(self, run: str) -> Run:
        """Return a run; NotFoundError if there is none."""
        return Run(self._lab, self._lab.run(run).id)

    def dry_run(self, launch: Launch) -> DryRun:
        """Return what would come of a launch, site by site; nothing is started."""
        return self._lab.dry_run(launch)

    def submit(self, launch: Launch | None = None, **asked: object) -> Run:
        """Put a run into the queue.

        Args:
            launch: what is asked for.
            **asked: the same as arguments, those of ``make_launch``.

        Raises:
            NotPermittedError: the dry run found something against it.
        """
        wanted = make_launch(**asked) if launch is None else launch  # type: ignore[arg-type]  # checked by the model
        return Run(self._lab, self._lab.submit_run(wanted).id)


class Run:
    """One run.

    Attributes:
        id: its name.
    """

    def __init__(self, lab: LabClient, key: str) -> None:
        self._lab = lab
        self.id = key

    def record(self) -> RunRecord:
        """Return what is on record about it."""
        return self._lab.run(self.id)

    def progress(self) -> Progress:
        """Return how it goes now."""
        return self._lab.run_progress(self.id)

    def watch(self) -> Iterator[Progress]:
        """Yield how it goes whenever that has changed, until it is over."""
        goes = self.progress()
        yield goes
        while not goes.over:
            later = self._lab.run_progress(self.id, seen=goes.seen, wait=_WAIT)
            if later.seen != goes.seen:
                yield later
            goes = later

    def follow(self) -> Progress:
        """Show how it goes until it is over, and return how it went.

        In a notebook it is shown in one place that changes: state, rounds with loss and metrics, nodes. Elsewhere each
        change is a line.
        """
        return show(self.watch())

    def wait(self) -> Progress:
        """Return how it went, once it is over."""
        *_, last = self.watch()
        return last

    def cancel(self) -> None:
        """Stop it, or take it out of the queue."""
        self._lab.cancel_run(self.id)

    def ask_release(self, text: str) -> RunRecord:
        """Ask for the release of what it left behind, where a permit or dataset of it asks for one."""
        return self._lab.ask_release(self.id, text)

    def download(self, folder: Path) -> list[Path]:
        """Write what it left behind into ``folder``; each file has the checksum that is on record.

        Raises:
            DataMismatchError: what arrived is not what is on record.
            NotPermittedError: it has not been released.
        """
        written = []
        record = self.record()
        if record.release is not None and not record.artifacts:
            self._lab.download_artifact(self.id, "run-card.json")  # refused, and the lab says why
        for one in record.artifacts:
            data = self._lab.download_artifact(self.id, one.name)
            if sha256_hex(data) != one.sha256:
                raise DataMismatchError(
                    "What arrived is not what is on record.", where=one.name, next_step="Download it again."
                )
            name = PurePosixPath(one.name)
            path = folder.joinpath(*(part for part in name.parts if part not in {"..", "/"}))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            written.append(path)
        return written


def make_launch(
    *,
    app: str,
    datasets: Sequence[str] = (),
    places: Sequence[LaunchPlace] = (),
    permit: str,
    parameters: Mapping[str, ConfigValue] | None = None,
    **settings: object,
) -> Launch:
    """Return a checked launch.

    Args:
        app: name of a template, or digest of an uploaded app.
        datasets: what to train on, each at the node that keeps it, in its latest version.
        places: the same, with node or version named.
        permit: id of the data permit.
        parameters: of the app.
        settings: the other fields of ``Launch``.

    Raises:
        BadInputError: a field is not valid.
    """
    try:
        return Launch.model_validate(
            {
                **settings,
                "app": app,
                "places": [*places, *(LaunchPlace(dataset=one) for one in datasets)],
                "permit": permit,
                "parameters": dict(parameters or {}),
            }
        )
    except ValidationError as error:
        raise bad_field("The run", error) from error
