"""How a run goes, from what its app says: numbers that are none end no page."""

from __future__ import annotations

import json

import pytest

from catalog.progress import Progress, Round, rounds_and_nodes
from catalog.run_records import RunState


@pytest.mark.parametrize("said", [float("nan"), float("inf")])
def test_rows_that_are_no_number_are_not_told(said: float) -> None:
    batch = {"event": "batch", "type": "train", "round": "1", "time": 1.0, "seconds": 1.0}
    batch |= {"bytes_down": 1, "bytes_up": 1, "nodes": {"berlin": {"num-examples": said, "loss": 1.0}}}
    _, (node,) = rounds_and_nodes([json.dumps(batch).encode() + b"\n"], ["berlin"])
    assert (node.replies, node.examples) == (1, None)


@pytest.mark.parametrize(
    ("state", "asked", "left"),
    [
        (RunState.RUNNING, 5, 9.0),
        (RunState.RUNNING, 2, 0.0),
        (RunState.RUNNING, None, None),
        (RunState.FINISHED, 5, None),
    ],
)
def test_what_is_left_is_as_long_as_the_rounds_before(state: RunState, asked: int | None, left: float | None) -> None:
    rounds = (Round(number=1, seconds=2.0), Round(number=2, seconds=4.0))
    assert Progress(id="a", state=state, seen="1", rounds_asked=asked, rounds=rounds).seconds_left == left
    assert Progress(id="a", state=state, seen="1", rounds_asked=asked).seconds_left is None
