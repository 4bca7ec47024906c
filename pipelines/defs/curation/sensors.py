"""What asks for runs: a sensor that sees what has landed, and a schedule that looks at set times.

``datalab dataset refresh`` evaluates the sensor and carries its requests out. Dagster's own daemon may as well, and
keeps the schedule: a request is for the job ``curate_landed``, which starts the same process as the command does. Both
are on as soon as a daemon runs, and nobody has to switch them on in Dagster's own pages:

    DAGSTER_HOME=HOME/dagster dagster-daemon run -m pipelines.definitions
"""

# Annotations stay what they are, and no texts: Dagster looks at that of an op's context.

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from datalab.home import Home
from pipelines.defs.curation.partitions import DatasetVersionKey, dataset_versions
from pipelines.instance import DATASET
from pipelines.landings import curate_all, waiting
from pipelines.unfinished import at_work, is_at_work

UPLOAD = "datalab/upload"
"""The tag of a run request that names the upload."""
DUE = "datalab/due"
"""The tag that names upload and contract, by which it is known whether it was refused before."""
_BEGINNING = 120.0
"""Seconds that a run may take from its start to its work."""
_UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dg.op(config_schema={"upload": str})
def curate_upload(context: dg.OpExecutionContext) -> None:
    """Curate an upload in a process of its own, with its lock, its retries and what a killed run has left of it.

    Nothing is done if it does not wait any more.

    Raises:
        DatalabError: it was refused, or the lab does not answer.
    """
    home, upload = _home(context.instance), context.op_config["upload"]
    with at_work(home, context.run_id):
        chosen = [(one.landing, one.key) for one in waiting(home) if one.landing.upload.id == upload]
        for done in curate_all(home, chosen, at_once=1):
            if done.error is not None:
                raise done.error


@dg.job(executor_def=dg.in_process_executor, description="One upload that waits, curated in a process of its own.")
def curate_landed() -> None:
    """Curate what a request names."""
    curate_upload()


@dg.sensor(
    job=curate_landed,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Uploads that no version was made of yet.",
)
def new_landings(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """Request a run for each upload that is due, unless one is under way.

    A request has no run key: one that failed because the lab or its object store was away is asked for again.
    """
    return _requests(context.instance)


@dg.schedule(
    job=curate_landed,
    cron_schedule="0 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Each hour: what waits, and the newest file of each dataset whose contract has changed.",
)
def refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Request what the sensor would, at a set time."""
    return _requests(context.instance)


def _requests(instance: dg.DagsterInstance) -> Iterator[dg.RunRequest]:
    home = _home(instance)
    asked = _under_way(instance, home)
    for one in waiting(home):
        upload = one.landing.upload
        if upload.id in asked:
            continue
        partition = DatasetVersionKey(one.landing.holder, upload.dataset, one.number)
        instance.add_dynamic_partitions(str(dataset_versions.name), [str(partition)])
        config = {"ops": {"curate_upload": {"config": {"upload": upload.id}}}}
        tags = {UPLOAD: upload.id, DATASET: upload.dataset, DUE: one.key}
        yield dg.RunRequest(run_config=config, tags=tags)


def _under_way(instance: dg.DagsterInstance, home: Home) -> set[str]:
    """Return the uploads that a run is at or waits to be; a run whose process was killed is given up."""
    found = set()
    for record in instance.get_run_records(dg.RunsFilter(job_name=curate_landed.name, statuses=list(_UNDER_WAY))):
        run = record.dagster_run
        begun = record.start_time is not None and time.time() - record.start_time > _BEGINNING
        if run.status is dg.DagsterRunStatus.STARTED and begun and not is_at_work(home, run.run_id):
            instance.report_run_failed(run, "The process of this run was killed.")
            continue
        found.add(run.tags.get(UPLOAD, ""))
    return found


def _home(instance: dg.DagsterInstance) -> Home:
    return Home(Path(instance.root_directory).parent)
