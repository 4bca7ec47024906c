"""How far a curation at the lab is: a line a step in a file of the run's folder, for whoever watches."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict

from datalab.errors import DatalabError

Stage = Literal["received", "landing", "validated", "deidentified", "harmonised", "profiled", "published"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""In their order; ``received`` is the lab server putting the parts of an upload together."""
FILE = "progress.jsonl"


class Failure(BaseModel):
    """Why a curation has ended without a version: the parts of a ``DatalabError``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    where: str | None = None
    next_step: str | None = None

    @classmethod
    def of(cls, error: DatalabError) -> Failure:
        """Return what an error says."""
        return cls(what=error.what, where=error.where, next_step=error.next_step)


class Step(BaseModel):
    """Something that has happened to a stage; ``told`` are counts, and never a value from the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    state: Literal["running", "done", "failed"]
    at: AwareDatetime
    told: dict[str, Any] = {}
    failure: Failure | None = None


class Progress(BaseModel):
    """The last step of each stage that has begun."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: dict[Stage, Step] = {}

    @property
    def failure(self) -> Failure | None:
        """Why it has ended without a version, or None."""
        return next((step.failure for step in self.steps.values() if step.state == "failed"), None)

    @property
    def version(self) -> int | None:
        """The version that was published, or None."""
        step = self.steps.get("published")
        return None if step is None else step.told.get("version")

    @property
    def current(self) -> Stage:
        """The stage that it is at."""
        return next((stage for stage in reversed(STAGES) if stage in self.steps), STAGES[0])


def tell(folder: Path, stage: Stage, state: Literal["running", "done"], told: dict[str, Any] | None = None) -> None:
    """Write down that a stage has begun or is done."""
    _append(folder, Step(stage=stage, state=state, at=datetime.now(UTC), told=told or {}))


def tell_failure(folder: Path, error: DatalabError) -> None:
    """Write down that the stage that was at work has failed."""
    failed = Failure.of(error)
    _append(folder, Step(stage=read(folder).current, state="failed", at=datetime.now(UTC), failure=failed))


def read(folder: Path) -> Progress:
    """Return how far the curation in a folder is; nothing yet, if it has not begun."""
    return Progress(steps={step.stage: step for step in history(folder)})


def history(folder: Path) -> tuple[Step, ...]:
    """Return all that has been written down of the curation in a folder, in its order."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    whole = text[: text.rfind("\n") + 1]  # a line that is being written is read next time
    return tuple(map(Step.model_validate_json, whole.splitlines()))


def _append(folder: Path, step: Step) -> None:
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(step.model_dump_json(exclude_none=True) + "\n")
