"""A published result, one run of it: the whole table is `python -m tests.perf.flamby_heart`."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.supervisor import Supervisor
from tests.perf.flamby_heart import PUBLISHED, pooled_accuracy, run, start
from tests.support.heart import read_hospitals


@pytest.mark.slow
def test_four_hospitals_reach_what_was_published(heart_disease: Path, tmp_path: Path, supervisor: Supervisor) -> None:
    hospitals = read_hospitals(heart_disease)
    assert {
        name: (len(one.y) - int(one.held_out.sum()), int(one.held_out.sum())) for name, one in hospitals.items()
    } == {
        "cleveland": (199, 104),
        "budapest": (172, 89),
        "switzerland": (30, 16),
        "long-beach": (85, 45),
    }
    federation = start(tmp_path, supervisor, hospitals)
    reports = run(federation, list(hospitals), "fedadagrad", seed=42)
    assert [one["num-examples"] for one in reports.values()] == [104, 89, 16, 45]
    mean, sd = PUBLISHED["fedadagrad"]
    assert abs(pooled_accuracy(reports) - mean) < 3 * sd
