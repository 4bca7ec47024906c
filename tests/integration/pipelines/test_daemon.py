"""Dagster's own daemon in place of `datalab dataset refresh`: it finds what has landed, and keeps the schedule."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

import dagster as dg
import psutil
import pytest

from catalog.client import lab_client
from datalab.home import Home
from pipelines.defs.curation.sensors import UPLOAD
from pipelines.instance import AT_ONCE, DATASET, open_instance
from pipelines.unfinished import is_at_work
from tests.integration.pipelines.conftest import Lab
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
_STARTS = 900.0
"""Seconds in which a loaded machine imports Dagster three times, and curates."""


@contextmanager
def daemon(home: Home, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon as a site would: with the lab's own instance and definitions, and nothing else."""
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-m", "pipelines.definitions"]
    environment = os.environ | {"DAGSTER_HOME": str(home.path / "dagster"), "DAGSTER_GRPC_TIMEOUT_SECONDS": "300"}
    with (
        log.open("wb") as file,
        subprocess.Popen(command, env=environment, stdout=file, stderr=file, process_group=0) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(120)


def versions(home: Home, dataset: str) -> int:
    with lab_client(home, "operator") as client:
        return len(client.versions(dataset))


def test_the_daemon_finds_what_has_landed_and_curates_some_at_a_time(lab: Lab, prepared: Path, tmp_path: Path) -> None:
    datasets = [f"daemon-{number}" for number in range(2)]
    for dataset in datasets:
        lab.register(dataset)
        lab.client.upload(dataset, prepared)
    other = tmp_path / "other.csv"
    other.write_text("\n".join(prepared.read_text(encoding="utf-8").splitlines()[:-40]) + "\n", encoding="utf-8")
    lab.client.upload(datasets[0], other)  # two of one dataset
    with open_instance(lab.home):
        pass  # it is there once the first run of the lab has been
    log = tmp_path / "daemon.log"
    with daemon(lab.home, log):
        expected = dict.fromkeys(datasets, 1) | {datasets[0]: 2}
        wait_until(
            lambda: {one: versions(lab.home, one) for one in datasets} == expected,
            f"each was curated; the daemon said: {log}",
            _STARTS,
        )
        lab.register("lands-later")
        lab.client.upload("lands-later", prepared)
        wait_until(lambda: versions(lab.home, "lands-later") == 1, f"the sensor looked again: {log}", _STARTS)
        wait_until(lambda: all(run.is_finished for run in _runs(lab.home)), "Dagster wrote down that all ended")

    runs = [run for run in _runs(lab.home) if run.is_success]
    assert len({run.tags[UPLOAD] for run in runs}) == 4
    spans = [_span(lab.home, run) for run in runs]
    for one, two in combinations(range(len(runs)), 2):
        if runs[one].tags[DATASET] == runs[two].tags[DATASET]:
            assert not _at_once([spans[one], spans[two]])
    for some in combinations(spans, AT_ONCE + 1):
        assert not _at_once(list(some))


def test_a_run_that_was_killed_with_the_daemon_does_not_hold_up_the_next(
    lab: Lab, prepared: Path, tmp_path: Path
) -> None:
    dataset = "daemon-killed"
    lab.register(dataset)
    lab.client.upload(dataset, prepared)
    with open_instance(lab.home):
        pass

    def at_work() -> list[dg.DagsterRun]:
        return [run for run in _runs(lab.home) if run.tags[DATASET] == dataset]

    with daemon(lab.home, tmp_path / "killed.log") as process:
        locks = lab.home.folder("locks")
        wait_until(lambda: any(is_at_work(lab.home, run.run_id) for run in at_work()), "a run is at work", _STARTS)
        for one in reversed([process.pid, *(child.pid for child in psutil.Process(process.pid).children(True))]):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait(30)
    [left] = at_work()
    assert left.status is dg.DagsterRunStatus.STARTED
    assert versions(lab.home, dataset) == 0
    with daemon(lab.home, tmp_path / "again.log"):
        wait_until(lambda: versions(lab.home, dataset) == 1, "it was curated after all", _STARTS)
        wait_until(lambda: all(run.is_finished for run in at_work()), "Dagster wrote down that all ended")
    statuses = {run.run_id: run.status.value for run in at_work()}
    assert statuses[left.run_id] == "FAILURE"  # the killed one was given up
    assert sorted(statuses.values()).count("SUCCESS") == 1
    assert list(locks.glob("run-*")) == []


def _runs(home: Home) -> list[dg.DagsterRun]:
    with open_instance(home) as instance:
        return list(instance.get_runs(dg.RunsFilter(job_name="curate_landed")))


def _span(home: Home, run: dg.DagsterRun) -> tuple[float, float]:
    with open_instance(home) as instance:
        record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    assert record.start_time is not None
    assert record.end_time is not None
    return record.start_time, record.end_time


def _at_once(spans: list[tuple[float, float]]) -> bool:
    """Whether there was a moment at which all were at work."""
    return max(start for start, _ in spans) < min(end for _, end in spans)
