"""Raw file → validated → de-identified → harmonised → profiled → published: one asset a stage of the engine.

Assets pass files in the run's work folder, not values, so Dagster stores neither data nor pickles. Nothing leaves
that folder before ``published``, which can be repeated: a run publishes one version, however often it asks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, cast

import dagster as dg
from pydantic import BaseModel

from catalog.errors import ConflictError
from catalog.records import PublishRequest, StoredFile
from datalab.curation import engine, progress
from datalab.curation.database import connect, literal
from datalab.curation.report import Check, CurationReport
from datalab.errors import BadInputError, DatalabError, NotFoundError, NotRunningError, ServiceFailedError
from datalab.home import write_atomically
from datalab.storage.store import StorageError
from pipelines.defs.curation import lineage
from pipelines.defs.curation.checks import (
    K_ANONYMITY,
    PARQUET_READABLE,
    QUALITY_RULES,
    ROW_ACCOUNTING,
    as_asset_check,
)
from pipelines.defs.curation.partitions import DatasetVersionKey, dataset_versions
from pipelines.defs.curation.resources import CurationRun

GROUP = "curation"
MOST_RETRIES = 5
FIRST_WAIT = 1.0
"""Seconds before a stage that met a silent service is repeated; twice as long each time, half a minute in all."""
if TYPE_CHECKING:
    Result = dg.MaterializeResult[None]
else:
    Result = dg.MaterializeResult  # with a parameter, Dagster does not recognise it


class Deidentification(BaseModel):
    """What was found of the promises made at the holder; empty where the contract asks for none."""

    checks: tuple[Check, ...]


def telling(stage: Callable[[CurationRun], Result]) -> Callable[[CurationRun], Result]:
    """Have a stage write down in the run's folder when it begins, and what came of it."""
    name = cast("progress.Stage", stage.__name__)

    @wraps(stage)
    def running(run: CurationRun) -> Result:
        partition = _partition()
        progress.tell(run.out, name, "running")
        lineage.emit(run, partition, name, "START")
        try:
            result = stage(run)
        except DatalabError as error:
            lineage.emit(run, partition, name, "FAIL")
            if isinstance(error, NotRunningError):  # it was, when the run began: it has ended, and may be starting
                failed = ServiceFailedError(error.what, where=error.where, next_step=error.next_step)
                _try_again(failed)
                raise failed from error
            if isinstance(error, ServiceFailedError | StorageError) and not isinstance(error, NotFoundError):
                _try_again(error)
            raise
        lineage.emit(run, partition, name, "COMPLETE", result.metadata)
        progress.tell(run.out, name, "done", dict(result.metadata or {}))
        return result

    return running


def _try_again(error: DatalabError) -> None:
    """Have Dagster repeat the stage where lab server or object store may come back; the stages before it are kept."""
    tried = dg.AssetExecutionContext.get().op_execution_context.retry_number
    if tried < MOST_RETRIES:
        raise dg.RetryRequested(max_retries=MOST_RETRIES, seconds_to_wait=FIRST_WAIT * 2**tried) from error


@dg.asset(partitions_def=dataset_versions, group_name=GROUP, kinds={"s3"})
@telling
def landing(run: CurationRun) -> Result:
    """The raw file as its holder handed it in, with the digest that the catalog recorded."""
    partition = _partition()
    with run.lab() as lab:
        upload = lab.get_upload(run.upload)
    if upload.dataset != partition.dataset:
        raise BadInputError(
            "The upload belongs to another dataset than the partition.",
            where=f"upload {upload.id} of {upload.dataset}, partition {partition}",
            next_step="Start the run with an upload of the partition's dataset.",
        )
    folder = run.work / "raw"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run.landing().fetch(upload, folder / upload.filename)
    return Result(metadata={"bytes": upload.bytes, "sha256": upload.sha256, "file": upload.filename})


@dg.asset(partitions_def=dataset_versions, group_name=GROUP, deps=[landing], kinds={"duckdb", "parquet"})
@telling
def validated(run: CurationRun) -> Result:
    """The records that keep the contract; the others are findings in the rejects file."""
    contract = run.load_contract()
    result = engine.validate(contract, run.raw, run.work, prepared=contract.export.needs_preparing)
    run.save(result)
    shutil.copyfile(run.work / engine.REJECTS, run.out / engine.REJECTS)
    engine.check_usable(result, run.raw, run.out / engine.REJECTS)
    if not result.rows:
        raise BadInputError(
            f"None of the {result.rows_in} records keeps the contract, so there is nothing to publish.",
            where=run.raw.name,
            next_step=f"Correct the file at its source, or the contract; see {run.out / engine.REJECTS}.",
        )
    return Result(
        metadata={
            "dagster/row_count": result.rows,
            "bytes": (run.work / engine.VALIDATED).stat().st_size,
            "rows_in": result.rows_in,
            "rejected_rows": result.rejected_rows,
            "rejects_by_rule": result.rejects_by_rule,
        }
    )


@dg.asset(
    partitions_def=dataset_versions, group_name=GROUP, deps=[validated], check_specs=[K_ANONYMITY], kinds={"duckdb"}
)
@telling
def deidentified(run: CurationRun) -> Result:
    """That what arrived was de-identified at its holder, recomputed; nothing is changed here."""
    # The raw file was decrypted for the stage before, which is not done again from here on; this one may be.
    shutil.rmtree(run.work / "raw", ignore_errors=True)
    found = Deidentification(checks=engine.check_deidentified(run.load_contract(), run.work))
    run.save(found)
    return Result(check_results=[as_asset_check(K_ANONYMITY, found.checks)])


@dg.asset(
    partitions_def=dataset_versions,
    group_name=GROUP,
    deps=[deidentified],
    check_specs=[PARQUET_READABLE],
    kinds={"duckdb", "parquet"},
)
@telling
def harmonised(run: CurationRun) -> Result:
    """The table that training sees: the contract's columns, types and units, sorted, as zstd Parquet."""
    result = engine.harmonise(run.load_contract(), run.work, opt_outs=run.opt_outs(_partition().holder))
    run.save(result)
    rows = _count_rows(run)
    readable = Check(
        name="row count",
        passed=rows == result.rows,
        detail=f"{result.rows} rows were written, {rows} are read back.",
    )
    return Result(
        metadata={
            "dagster/row_count": result.rows,
            "bytes": result.parquet_bytes,
            "sha256": result.parquet_sha256,
            "excluded": result.excluded,
        },
        check_results=[as_asset_check(PARQUET_READABLE, [readable])],
    )


@dg.asset(
    partitions_def=dataset_versions,
    group_name=GROUP,
    deps=[harmonised],
    check_specs=[ROW_ACCOUNTING, QUALITY_RULES],
    kinds={"duckdb"},
)
@telling
def profiled(run: CurationRun) -> Result:
    """The version's quality record: counts, missing values, the contract's rules."""
    contract = run.load_contract()
    result = engine.profile(contract, run.work)
    report = engine.compile_report(
        contract,
        run.load(engine.Validation),
        run.load(Deidentification).checks,
        run.load(engine.Harmonisation),
        result,
    )
    write_atomically(run.out / engine.REPORT, (report.model_dump_json(indent=2) + "\n").encode())
    return Result(
        metadata={"columns": len(report.columns), "checks": len(report.checks)},
        check_results=[
            as_asset_check(ROW_ACCOUNTING, [check for check in report.checks if check.name == "row accounting"]),
            as_asset_check(QUALITY_RULES, result.checks),
        ],
    )


@dg.asset(partitions_def=dataset_versions, group_name=GROUP, deps=[profiled], kinds={"s3", "ducklake"})
@telling
def published(run: CurationRun) -> Result:
    """The next version of the dataset in the catalog, through the lab's API."""
    partition = _partition()
    report = CurationReport.model_validate_json((run.out / engine.REPORT).read_bytes())
    objects = run.objects()
    with run.lab() as lab:
        others = [version for version in lab.versions(partition.dataset) if version.pipeline_run != run.intent]
        if len(others) != partition.version - 1:
            raise ConflictError(
                "Another version of the dataset was published in the meantime.",
                where=str(partition),
                next_step="Run the curation again; it becomes the version after that.",
            )
        staged = objects.put_file(f"staging/{partition.dataset}/{run.intent}/{engine.DATA}", run.work / engine.DATA)
        try:
            file = StoredFile(key=staged.key, sha256=report.parquet_sha256, bytes=staged.bytes)
            told = {"dagster/row_count": report.rows, "bytes": staged.bytes}
            history = (*lineage.events(run.out), lineage.event(run, partition, "published", "COMPLETE", told))
            request = PublishRequest(
                intent=run.intent, files=(file,), report=report, pipeline_run=run.intent, lineage=history
            )
            version = lab.publish(partition.dataset, request)
        finally:
            objects.delete(staged.key)
    return Result(metadata={**told, "version": version.number})


ASSETS = (landing, validated, deidentified, harmonised, profiled, published)


def _partition() -> DatasetVersionKey:
    return DatasetVersionKey.parse(dg.AssetExecutionContext.get().partition_key)


def _count_rows(run: CurationRun) -> int:
    """Count the rows of the Parquet file by reading it."""
    with connect(run.work) as database:
        row = database.execute(f"SELECT count(*) FROM read_parquet({literal(str(run.work / engine.DATA))})").fetchone()
    assert row is not None
    return int(row[0])
