"""What asks for runs: a sensor that sees what has landed, and a schedule that looks at set times.

``datalab dataset refresh`` evaluates the sensor and carries its requests out. Dagster's own daemon may as well, or keep
the schedule: a request is for the job ``curate_landed``, which starts the same process as the command does.
"""

# Annotations stay what they are, and no texts: Dagster looks at that of an op's context.

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from datalab.home import Home
from pipelines.defs.curation.partitions import DatasetVersionKey, dataset_versions
from pipelines.landings import curate_all, waiting

UPLOAD = "datalab/upload"
"""The tag of a run request that names the upload."""


@dg.op(config_schema={"upload": str})
def curate_upload(context: dg.OpExecutionContext) -> None:
    """Curate an upload in a process of its own, with its lock, its retries and what a killed run has left of it.

    Nothing is done if it does not wait any more.

    Raises:
        DatalabError: it was refused, or the lab does not answer.
    """
    home, upload = _home(context.instance), context.op_config["upload"]
    chosen = [(one.landing, one.key) for one in waiting(home) if one.landing.upload.id == upload]
    for done in curate_all(home, chosen, at_once=1):
        if done.error is not None:
            raise done.error


@dg.job(description="One upload that waits, curated in a process of its own.")
def curate_landed() -> None:
    """Curate what a request names."""
    curate_upload()


@dg.sensor(job=curate_landed, minimum_interval_seconds=60, description="Uploads that no version was made of yet.")
def new_landings(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """Request a run for each upload that is due; the key of a request says upload and contract."""
    return _requests(context.instance)


@dg.schedule(
    job=curate_landed,
    cron_schedule="0 * * * *",
    execution_timezone="UTC",
    description="Each hour: what waits, and the newest file of each dataset whose contract has changed.",
)
def refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Request what the sensor would, at a set time."""
    return _requests(context.instance)


def _requests(instance: dg.DagsterInstance) -> Iterator[dg.RunRequest]:
    for one in waiting(_home(instance)):
        upload = one.landing.upload
        partition = DatasetVersionKey(one.landing.holder, upload.dataset, one.number)
        instance.add_dynamic_partitions(str(dataset_versions.name), [str(partition)])
        config = {"ops": {"curate_upload": {"config": {"upload": upload.id}}}}
        yield dg.RunRequest(run_key=one.key, run_config=config, tags={UPLOAD: upload.id})


def _home(instance: dg.DagsterInstance) -> Home:
    return Home(Path(instance.root_directory).parent)
