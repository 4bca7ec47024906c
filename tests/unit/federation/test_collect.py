"""What an app leaves behind is copied, and cannot take the place of what the lab writes."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from federation.errors import RunFailedError
from federation.runner.stage import LIMITS, Stage


def test_an_app_leaves_no_run_card_of_its_own(tmp_path: Path) -> None:
    left, target = tmp_path / "left", tmp_path / "target"
    (left / "more").mkdir(parents=True)
    (left / "more" / "run-card.json").write_text("{}")
    stage = SimpleNamespace(_artifacts=os.open(left, os.O_RDONLY), _sandbox=SimpleNamespace(limits=LIMITS))
    Stage.collect(stage, target)  # type: ignore[arg-type]  # all that it needs of one
    assert (target / "more" / "run-card.json").exists()
    (left / "run-card.json").write_text('{"rows": [[50, 1], [51, 0]]}')
    with pytest.raises(RunFailedError, match="lab's own to write"):
        Stage.collect(stage, target)  # type: ignore[arg-type]
    assert not (target / "run-card.json").exists()
    os.close(stage._artifacts)
