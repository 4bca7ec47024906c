"""One curation run, in a process of its own: ``python -m pipelines.run --home HOME --upload UPLOAD``.

It prints one JSON line (``Outcome``) when it is done, or one sentence on stderr and the exit code of the error.
Dagster is imported here only: about a second, and another for SQLAlchemy when the instance is opened.
"""

from __future__ import annotations

import argparse
import signal
import sys
import uuid
from collections.abc import Collection
from pathlib import Path

from catalog.client import lab_client
from catalog.records import Dataset, Version
from catalog.upload_records import Upload
from datalab.canonical import sha256_file
from datalab.curation import progress
from datalab.curation.engine import REJECTS, REPORT
from datalab.errors import BadInputError, DatalabError
from datalab.home import Home
from datalab.service import die_with_parent
from pipelines.outcome import Checks, Outcome
from pipelines.sources import find_contract
from pipelines.succession import check_succession, keep_contract
from pipelines.unfinished import Begun, lend_folder, one_at_a_time, remove_published


def curate_upload(home: Home, upload_id: str, run_id: str | None = None) -> Outcome:
    """Curate an uploaded raw file and publish it as the next version of its dataset.

    Runs of one dataset wait for each other. A file that an earlier run has published by the same contract is not
    published again: the outcome is that version. What an earlier run over this file had done when it was killed is not
    done again. Nothing derived from the data stays behind in the run's folder, whatever happens.

    Args:
        home: of the lab, which is running.
        upload_id: the raw file in the catalog.
        run_id: name of the run, a UUID; made if it is not given. How far it is can be read in its folder.

    Raises:
        DatalabError: the lab is not running, the contract refuses the file, or a check that blocks has failed.
    """
    run_id = run_id or str(uuid.uuid4())
    with lab_client(home, "pipeline") as lab:
        upload = lab.get_upload(upload_id)
    with one_at_a_time(home, upload.dataset):
        return _curate_alone(home, upload, run_id)


def _curate_alone(home: Home, upload: Upload, run_id: str) -> Outcome:
    with lab_client(home, "pipeline") as lab:
        dataset = lab.dataset(upload.dataset)
        versions = lab.versions(dataset.id)
    if upload.erased is not None:
        raise BadInputError(
            "This file was removed, because it held somebody who was erased.",
            where=f"upload {upload.id}",
            next_step="Hand it in again without them.",
        )
    contract = find_contract(home, dataset)
    folder = _folder(home, dataset.id, run_id)
    for version in versions:
        if (version.report.raw_sha256, version.report.contract_digest) == (upload.sha256, sha256_file(contract)):
            told = {"version": version.number, "dagster/row_count": version.report.rows}
            progress.tell(folder, "published", "done", told)
            remove_published(folder, version.pipeline_run)
            return _outcome(home, version)
    begun = Begun(upload=upload.id, contract=sha256_file(contract), number=len(versions) + 1, intent=run_id)
    try:
        check_succession(home, contract, versions)
        with lend_folder(folder, begun) as (taken, done):
            keep_contract(home, contract)
            return _execute(home, dataset, contract, taken, done, folder=folder, run_id=run_id)
    except DatalabError as error:
        progress.tell_failure(folder, error)
        raise


def _execute(
    home: Home,
    dataset: Dataset,
    contract: Path,
    begun: Begun,
    done: Collection[progress.Stage],
    *,
    folder: Path,
    run_id: str,
) -> Outcome:
    from dagster._core.errors import DagsterAssetCheckFailedError  # Dagster does not export it

    from pipelines.definitions import CURATE, defs
    from pipelines.defs.curation.assets import ASSETS
    from pipelines.defs.curation.partitions import DatasetVersionKey, dataset_versions
    from pipelines.instance import open_instance

    partition = DatasetVersionKey(dataset.holder, dataset.id, begun.number)
    source = {
        "home": str(home.path),
        "folder": str(folder),
        "upload": begun.upload,
        "contract": str(contract),
        "intent": begun.intent,
    }
    rest = [asset.key for asset in ASSETS if asset.key.path[-1] not in done]
    with open_instance(home) as instance:
        instance.add_dynamic_partitions(str(dataset_versions.name), [str(partition)])
        try:
            result = defs.resolve_job_def(CURATE).execute_in_process(
                run_config={
                    "resources": {"run": {"config": source}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                instance=instance,
                partition_key=str(partition),
                run_id=run_id,
                asset_selection=rest,
            )
        except DagsterAssetCheckFailedError as error:
            raise BadInputError(
                "A check that blocks publication has failed, so no version was made.",
                where=", ".join(str(error).splitlines()[1:]),
                next_step=f"See {folder / REPORT} and {folder / REJECTS}, and correct the file at its source.",
            ) from error
        steps = instance.get_run_step_stats(run_id)
    with lab_client(home, "pipeline") as lab:
        [version] = [one for one in lab.versions(dataset.id) if one.pipeline_run == begun.intent]
    outcome = _outcome(home, version)
    outcome.asset_checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    outcome.seconds = {
        step.step_key: round(step.end_time - step.start_time, 3)
        for step in steps
        if step.start_time is not None and step.end_time is not None
    }
    return outcome


def _outcome(home: Home, version: Version) -> Outcome:
    report = version.report
    assert version.pipeline_run is not None
    return Outcome(
        run_id=version.pipeline_run,
        dataset=version.dataset,
        version=version.number,
        rows=report.rows or 0,
        rejected_rows=report.rejected_rows or 0,
        checks=Checks(passed=version.checks_passed, failed=version.checks_failed),
        asset_checks={},
        parquet_sha256=report.parquet_sha256,
        rejects=str(_folder(home, version.dataset, version.pipeline_run) / REJECTS),
        seconds={},
    )


def _folder(home: Home, dataset: str, run_id: str) -> Path:
    return home.folder("curation", dataset, run_id)


def main() -> None:
    """Run from the command line; the exit code is that of ``datalab.errors.ExitCode``."""
    parser = argparse.ArgumentParser(description="Curate one uploaded file and publish it.")
    parser.add_argument("--home", type=Path, required=True, help="the lab's home folder")
    parser.add_argument("--upload", required=True, help="id of the upload in the catalog")
    parser.add_argument("--run", help="name of the run, a UUID")
    arguments = parser.parse_args()
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the run's folder is cleared
    try:
        outcome = curate_upload(Home(arguments.home.absolute()), arguments.upload, arguments.run)
    except DatalabError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(outcome.model_dump_json() + "\n")


if __name__ == "__main__":
    main()
