"""How a run goes, from what its app says: numbers that are none end no page."""

from __future__ import annotations

import json

import pytest

from catalog.progress import rounds_and_nodes


@pytest.mark.parametrize("said", [float("nan"), float("inf")])
def test_rows_that_are_no_number_are_not_told(said: float) -> None:
    batch = {"event": "batch", "type": "train", "round": "1", "time": 1.0, "seconds": 1.0}
    batch |= {"bytes_down": 1, "bytes_up": 1, "nodes": {"berlin": {"num-examples": said, "loss": 1.0}}}
    _, (node,) = rounds_and_nodes([json.dumps(batch).encode() + b"\n"], ["berlin"])
    assert (node.replies, node.examples) == (1, None)
