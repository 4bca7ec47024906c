"""Planning a run where there are many small partitions: ``python -m tests.perf.partitions --partitions 100000 --json``.

A Dagster instance, as the lab has it, knows so many partitions over time (holder, dataset, version). Measured is what
comes before the first stage of one more: loading the definitions in a new process (``load_seconds``), and adding the
partition and planning its run (``plan_seconds``). ``stage_seconds`` is what Dagster adds to a stage that does nothing;
``stage_cpu_seconds`` is the same in processor time, for machines that others use too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PER_DATASET = 20


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--partitions", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "partitions": arguments.partitions,
            "load_seconds": _load(),
            **_plan(Path(folder), arguments.partitions),
            **_stage(Path(folder)),
        }
    print(json.dumps(found) if arguments.json else "\n".join(f"{name:<16}{value}" for name, value in found.items()))


def _load() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "from pipelines.definitions import defs; defs.resolve_job_def"], check=True)
    return round(time.perf_counter() - began, 3)


def _plan(home: Path, partitions: int) -> dict[str, float]:
    import dagster as dg
    from dagster._core.execution.api import create_execution_plan

    from datalab.home import Home
    from pipelines.definitions import CURATE, defs
    from pipelines.defs.curation.partitions import DatasetVersionKey, dataset_versions
    from pipelines.instance import open_instance

    name = str(dataset_versions.name)
    with open_instance(Home(home)) as instance:
        keys = [
            str(DatasetVersionKey(f"holder{at % 50}", f"dataset{at // PER_DATASET}", at % PER_DATASET + 1))
            for at in range(partitions)
        ]
        instance.add_dynamic_partitions(name, keys)
        began = time.perf_counter()
        key = DatasetVersionKey("holder", "one-more", 1)
        instance.add_dynamic_partitions(name, [str(key)])
        job = defs.resolve_job_def(CURATE)
        values = dict.fromkeys(("home", "folder", "upload", "contract", "intent"), "x")
        config = {"resources": {"run": {"config": values}}}
        plan = create_execution_plan(job, run_config=config)
        run = instance.create_run_for_job(
            job, execution_plan=plan, run_config=config, tags={"dagster/partition": str(key)}
        )
        planned = time.perf_counter() - began
        assert isinstance(run, dg.DagsterRun)
        assert instance.has_dynamic_partition(name, str(key))
    return {"plan_seconds": round(planned, 3)}


def _stage(home: Path, stages: int = 10) -> dict[str, float]:
    """Return what a stage takes that does nothing, in a chain of them, in-process and recorded as the lab's are."""
    import dagster as dg

    from datalab.home import Home
    from pipelines.instance import open_instance

    def stage(number: int) -> dg.AssetsDefinition:
        @dg.asset(name=f"stage{number}", deps=[f"stage{number - 1}"] if number else [])
        def nothing() -> None:
            pass

        return nothing

    job = dg.Definitions(
        assets=[stage(number) for number in range(stages)], jobs=[dg.define_asset_job("all")]
    ).resolve_job_def("all")
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_instance(Home(home)) as instance:
        job.execute_in_process(instance=instance, run_config=config)  # the first makes tables
        began, used = time.perf_counter(), time.process_time()
        assert job.execute_in_process(instance=instance, run_config=config).success
        return {
            "stage_seconds": round((time.perf_counter() - began) / stages, 3),
            "stage_cpu_seconds": round((time.process_time() - used) / stages, 3),
        }


if __name__ == "__main__":
    main()
