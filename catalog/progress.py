"""How a run goes: what its events add up to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from catalog.run_records import RunState


class Standstill(StrEnum):
    """Why a run whose turn has come has not begun, at a cluster."""

    NO_ROOM = "no-room"
    NO_IMAGE = "no-image"
    NOT_STARTED = "not-started"
    NOT_MADE = "not-made"


STANDSTILL = {
    Standstill.NO_ROOM: "The cluster has no room for it yet.",
    Standstill.NO_IMAGE: "The cluster cannot fetch the image that it runs in. Tell the lab's operator.",
    Standstill.NOT_STARTED: "The cluster cannot start it. Tell the lab's operator.",
    Standstill.NOT_MADE: "The cluster has not taken it up yet.",
}
"""The same in words."""


NO_METRICS = frozenset({"num-examples", "loss"})
"""What nodes tell beside metrics."""


class Round(BaseModel):
    """One round: its loss, and every metric as the mean over the nodes, weighted by ``num-examples``."""

    model_config = ConfigDict(frozen=True)

    number: int
    seconds: float = 0.0
    loss: float | None = None
    bytes_down: int = 0
    bytes_up: int = 0
    metrics: dict[str, float] = {}


class NodeProgress(BaseModel):
    """What a node has done: tasks answered, tasks that failed, and what it said last (``error`` names a kind only)."""

    model_config = ConfigDict(frozen=True)

    name: str
    replies: int = 0
    errors: int = 0
    last_seen: float | None = None
    seconds: float = 0.0
    examples: int | None = None
    bytes_down: int = 0
    bytes_up: int = 0
    error: str | None = None


class Progress(BaseModel):
    """How a run goes.

    Attributes:
        seen: another text whenever something else is different.
        rounds_asked: how many rounds the app was asked for, where it says so.
        reason: why it failed or was stopped.
        waiting: why it waits, in words; None if it does not.
        standstill: why it has not begun although its turn has come; None if it has, or nobody can tell.
        said: the cluster's own words for that.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    state: RunState
    seen: str
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    reason: str | None = None
    waiting: str | None = None
    standstill: Standstill | None = None
    said: str = ""
    rounds_asked: int | None = None
    rounds: tuple[Round, ...] = ()
    nodes: tuple[NodeProgress, ...] = ()

    @property
    def over(self) -> bool:
        """Whether it will not change any more."""
        return self.state in (RunState.FINISHED, RunState.FAILED, RunState.STOPPED)

    @property
    def seconds_left(self) -> float | None:
        """How long it will still take if rounds go on as they went, in seconds; None where nobody can tell."""
        done = len(self.rounds)
        if self.state is not RunState.RUNNING or not done or not self.rounds_asked:
            return None
        return sum(one.seconds for one in self.rounds) / done * max(0, self.rounds_asked - done)

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics, in order."""
        return sorted({name for one in self.rounds for name in one.metrics} - NO_METRICS)


def rounds_and_nodes(
    lines: Iterable[bytes], names: Iterable[str]
) -> tuple[tuple[Round, ...], tuple[NodeProgress, ...]]:
    """Return what the events of a run add up to.

    Args:
        lines: of its events file; a last one that is not whole is left out.
        names: of its nodes.
    """
    rounds: dict[int, Round] = {}
    nodes = {name: NodeProgress(name=name) for name in names}
    for line in lines:
        if not line.endswith(b"\n"):
            break
        event = json.loads(line)
        if event["event"] == "nodes":
            for name in event["nodes"]:
                nodes[name] = nodes.get(name, NodeProgress(name=name)).model_copy(update={"last_seen": event["time"]})
        elif event["event"] == "batch":
            for name, said in event["nodes"].items():
                node = _after(nodes.get(name, NodeProgress(name=name)), said, event["time"])
                down, up = event.get("traffic", {}).get(name, (0, 0))
                more = {"bytes_down": node.bytes_down + down, "bytes_up": node.bytes_up + up}
                nodes[name] = node.model_copy(update=more)
            if str(event["round"]).isdigit() and event["type"].partition(".")[0] in ("train", "evaluate"):
                number = int(event["round"])
                rounds[number] = _with(rounds.get(number, Round(number=number)), event)
        elif event["event"] == "round" and event["number"] in rounds:
            rounds[event["number"]] = rounds[event["number"]].model_copy(update={"loss": event["loss"]})
    return tuple(rounds[number] for number in sorted(rounds)), tuple(nodes[name] for name in sorted(nodes))


def _after(node: NodeProgress, said: dict[str, Any], time: float) -> NodeProgress:
    if "error" in said:
        error = str(said["error"]).removeprefix("TASK_ERROR_CODE_").lower().replace("_", " ")
        return node.model_copy(update={"errors": node.errors + 1, "error": error})
    examples = said.get("num-examples")
    if examples is not None and not math.isfinite(examples):  # an app's own word, and no number of rows
        examples = None
    return node.model_copy(
        update={
            "replies": node.replies + 1,
            "last_seen": time,
            "seconds": node.seconds + said.get("app_seconds", 0.0),
            "examples": node.examples if examples is None else int(examples),
            "error": None,
        }
    )


def _with(found: Round, event: dict[str, Any]) -> Round:
    said = [one for one in event["nodes"].values() if "error" not in one]
    names = {name for one in said for name in one} - {"app_seconds", "num-examples"}
    metrics = {name: value for name in sorted(names) if (value := _mean(said, name)) is not None}
    return found.model_copy(
        update={
            "seconds": found.seconds + event["seconds"],
            "bytes_down": found.bytes_down + event["bytes_down"],
            "bytes_up": found.bytes_up + event["bytes_up"],
            "loss": metrics.get("loss", found.loss),
            "metrics": {**found.metrics, **metrics},
        }
    )


def _mean(said: list[dict[str, Any]], name: str) -> float | None:
    told = [(one[name], one.get("num-examples", 1)) for one in said if name in one]
    weight = sum(examples for _, examples in told)
    return sum(value * examples for value, examples in told) / weight if weight else None
