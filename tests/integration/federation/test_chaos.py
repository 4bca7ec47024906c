"""A whole system under faults: a few of them here, thirty in ``python -m tests.chaos --faults 30``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.__main__ import measure
from tests.chaos.faults import COMPONENTS, plan


def test_a_plan_has_every_component_and_depends_on_its_seed_alone() -> None:
    faults = plan(30, 1, 4)
    assert faults == plan(30, 1, 4)
    assert faults != plan(30, 2, 4)
    assert all(sum(one.component == component for one in faults) >= 2 for component in COMPONENTS)


@pytest.mark.slow
@pytest.mark.parametrize("faults", [2, 30])
@pytest.mark.timeout(3000)
def test_every_run_completes_with_the_same_parameters(tmp_path: Path, faults: int) -> None:
    report = measure(faults, 1, 4, tmp_path)
    assert (report["completed"], report["equal_parameters"], report["audit_verified"]) == (faults, faults, faults)
    assert report["executed_again"] == 0
