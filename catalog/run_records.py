"""Runs as they are asked for, recorded and changed, and as they cross the API."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from catalog.records import Line, Number, Prose, Record, Sha256, Slug
from catalog.release.records import Release


class DatasetVersion(Record):
    """A version of a dataset, named."""

    dataset: Slug
    version: Number


class Artifact(Record):
    """Something a run leaves behind, in object storage."""

    name: Line
    uri: Annotated[str, Field(max_length=1100, pattern=r"^s3://[^\s]+$")]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class RunState(StrEnum):
    """Where a federated run stands."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.SUBMITTED, RunState.FAILED, RunState.STOPPED}),
    RunState.SUBMITTED: frozenset({RunState.QUEUED, RunState.RUNNING, RunState.FAILED, RunState.STOPPED}),
    RunState.RUNNING: frozenset({RunState.FINISHED, RunState.FAILED, RunState.STOPPED}),
    RunState.FINISHED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.STOPPED: frozenset(),
}
"""The one table of valid transitions of a run."""


ConfigValue = bool | int | float | str | list[bool] | list[int] | list[float] | list[str]


class LaunchPlace(Record):
    """A dataset to train on: its latest version, at the node that keeps it, unless others are named."""

    dataset: Slug
    version: Number | None = None
    node: Slug | None = None


class Launch(Record):
    """What somebody asks for who wants a run: the same by command line, Python, JSON and the form.

    Attributes:
        app: name of one of the lab's templates, or SHA-256 of an app that was uploaded.
        places: what it trains on.
        permit: id of the data permit, which is on record at the lab.
        purpose: under EHDS Art. 53(1); the permit's own if it is left out.
        parameters: of the app, over its own defaults; what they may be, the app says.
        rounds: the parameter ``num-server-rounds``, which most apps have.
        seed: same seed, same parameters.
        deadline_minutes: after which the run is stopped, once it has started.
        priority: among the runs of the same organisation; the higher goes first.
        app_signature: over the app, for nodes that trust its signer.
        clone_of: the run that this one was made from.
    """

    app: Slug
    places: Annotated[tuple[LaunchPlace, ...], Field(min_length=1, max_length=1000)]
    permit: Line
    purpose: Annotated[str, Field(pattern=r"^[a-f](-i{1,2})?$")] | None = None
    parameters: Annotated[dict[Line, ConfigValue], Field(max_length=200)] = Field(default_factory=dict)
    rounds: Annotated[int, Field(ge=1, le=100_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    deadline_minutes: Annotated[int, Field(ge=1, le=60 * 24 * 30)] | None = None
    priority: Annotated[int, Field(ge=-10, le=10)] = 0
    app_signature: Annotated[str, Field(max_length=10_000)] = ""
    clone_of: Slug | None = None

    @property
    def settings(self) -> dict[str, ConfigValue]:
        """The app's parameters, rounds among them."""
        return {**self.parameters, **({} if self.rounds is None else {"num-server-rounds": self.rounds})}


class RunDraft(Record):
    """A run as it is submitted; ``app_digest`` is the SHA-256 of the app, ``permits`` are their ids."""

    id: Slug
    app_digest: Sha256
    datasets: Annotated[tuple[DatasetVersion, ...], Field(min_length=1, max_length=1000)]
    permits: Annotated[tuple[Line, ...], Field(max_length=1000)] = ()
    nodes: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=1000)]


class RunRecord(RunDraft):
    """A run on record.

    Attributes:
        card: its run card (JSON) once it has one.
        launch: what was asked for, with every node and version named; None where the runner was started by hand.
        organisation: of whoever submitted it; its use is counted there.
        reason: why it failed or was stopped.
        release: where the release of what it leaves behind stands; None where that needs none.
    """

    state: RunState
    submitted_by: Line
    organisation: Slug | None = None
    launch: Launch | None = None
    reason: Prose | None = None
    created: AwareDatetime
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    card: dict[str, Any] | None = None
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=1000)] = ()
    release: Release | None = None
    revision: Number


class RunPatch(Record):
    """A change to a run; what is left out stays as it is. The lab keeps the times itself."""

    state: RunState | None = None
    reason: Prose | None = None
    card: dict[str, Any] | None = None
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=1000)] | None = None
