"""The OpenLineage events of a curation run: a start and an end for each stage, in a file of the run's folder."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from catalog.lineage import NAMESPACE, PRODUCER, SPEC, Job, LineageDataset, Run, RunEvent, facet, latest
from datalab.curation import progress
from pipelines.defs.curation.partitions import DatasetVersionKey
from pipelines.defs.curation.resources import CurationRun
from pipelines.unfinished import LINEAGE


def emit(
    run: CurationRun,
    partition: DatasetVersionKey,
    stage: progress.Stage,
    kind: Literal["START", "COMPLETE", "FAIL"],
    told: Mapping[str, Any] | None = None,
) -> None:
    """Write down that a stage has begun or ended; ``told`` are its counts."""
    with (run.out / LINEAGE).open("a", encoding="utf-8") as file:
        file.write(event(run, partition, stage, kind, told or {}).model_dump_json(by_alias=True) + "\n")


def event(
    run: CurationRun,
    partition: DatasetVersionKey,
    stage: progress.Stage,
    kind: Literal["START", "COMPLETE", "FAIL"],
    told: Mapping[str, Any],
) -> RunEvent:
    """Return the event of a stage. The stages of a killed run and of the one that took it up are runs of one parent."""
    parent = uuid.UUID(run.intent)
    before = progress.STAGES[progress.STAGES.index(stage) - 1]
    of_run = facet(
        "parent", run={"runId": str(parent)}, job={"namespace": NAMESPACE, "name": f"curate.{partition.dataset}"}
    )
    return RunEvent(
        eventType=kind,
        eventTime=datetime.now(UTC),
        run=Run(runId=uuid.uuid5(parent, stage), facets={"parent": of_run}),
        job=Job(namespace=NAMESPACE, name=f"curate.{partition.dataset}.{stage}"),
        inputs=(_dataset(run, partition, before),),
        outputs=(_dataset(run, partition, stage, told),),
        producer=PRODUCER,
        schemaURL=SPEC,
    )


def events(folder: Path) -> tuple[RunEvent, ...]:
    """Return what has been written down, each stage's start and end once."""
    lines = (folder / LINEAGE).read_text(encoding="utf-8").splitlines()
    return latest(RunEvent.model_validate_json(line) for line in lines)


def _dataset(
    run: CurationRun, partition: DatasetVersionKey, stage: progress.Stage, told: Mapping[str, Any] | None = None
) -> LineageDataset:
    """Return what a stage leaves: the upload before all of them, the version after the last, in between its work."""
    whole = f"{partition.holder}.{partition.dataset}"
    if stage == "received":
        return LineageDataset(namespace=NAMESPACE, name=f"{whole}.upload.{run.upload}")
    counts = {"rowCount": "dagster/row_count", "size": "bytes"}
    known = {name: told[key] for name, key in counts.items() if told and key in told}
    outcome = {"outputStatistics": facet("outputStatistics", **known)} if known else {}
    if stage == "published":
        version = {"version": facet("version", datasetVersion=str(partition.version))}
        return LineageDataset(namespace=NAMESPACE, name=whole, facets=version, outputFacets=outcome)
    return LineageDataset(namespace=NAMESPACE, name=f"{whole}.v{partition.version}.{stage}", outputFacets=outcome)
