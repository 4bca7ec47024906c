"""The sensor that sees what has landed. ``datalab dataset refresh`` evaluates it; Dagster's own daemon may as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from datalab.home import Home
from pipelines.defs.curation.partitions import DatasetVersionKey, dataset_versions
from pipelines.landings import waiting

UPLOAD = "datalab/upload"
"""The tag of a run request that names the upload."""


@dg.sensor(job_name="curate", minimum_interval_seconds=60, description="Uploads that no version was made of yet.")
def new_landings(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """Request a run for each upload that is due; the key of a request says upload and contract."""
    home = Home(Path(context.instance.root_directory).parent)
    for one in waiting(home):
        partition = DatasetVersionKey(one.landing.holder, one.landing.upload.dataset, one.number)
        context.instance.add_dynamic_partitions(str(dataset_versions.name), [str(partition)])
        yield dg.RunRequest(run_key=one.key, partition_key=str(partition), tags={UPLOAD: one.landing.upload.id})
