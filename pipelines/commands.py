"""``datalab dataset publish`` and ``refresh``."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click

from catalog.client import lab_client
from catalog.upload_records import Landed
from datalab.errors import error_of_child
from datalab.home import Home
from datalab.service import python_module
from pipelines.landings import curate_all


@click.command()
@click.argument("dataset", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The home folder of a lab that is running."
)
def publish(dataset: str, file: Path, home: Path) -> None:
    """Upload FILE to the dataset ID, curate it by the dataset's contract, and publish the next version.

    FILE comes from `datalab dataset prepare`: the lab takes no direct identifiers. The raw file is kept as it came; a
    Dagster run checks and harmonises it. Rows that break the contract are left out and listed with line, column and
    rule. The same file under the same contract is published once.
    """
    from catalog.standards.requirements import missing_lines
    from pipelines.outcome import Outcome

    with lab_client(Home(home), "operator") as lab:
        upload = lab.upload(dataset, file)
    command = [*python_module("pipelines.run"), "--home", str(home), "--upload", upload.id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise error_of_child(done.stderr, done.returncode, "The pipeline ended without a word; see its log.")
    outcome = Outcome.model_validate_json(done.stdout.splitlines()[-1])
    click.echo(
        f"{outcome.dataset} version {outcome.version}: {outcome.rows:,} rows, {outcome.rejected_rows:,} rejected, "
        f"checks {outcome.checks.passed} passed and {outcome.checks.failed} failed (run {outcome.run_id})"
    )
    if outcome.rejected_rows:
        click.echo(f"What was rejected, by line, column and rule: {outcome.rejects}")
    with lab_client(Home(home), "operator") as lab:
        for line in missing_lines(lab.standards(dataset)):
            click.echo(line)


@click.command()
@click.option("--at-once", type=click.IntRange(1, 16), default=1, show_default=True, help="Runs at the same time.")
@click.option("--every", type=click.IntRange(10), help="Look again every so many seconds, until Ctrl-C.")
@click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The home folder of a lab that is running."
)
def refresh(at_once: int, every: int | None, home: Path) -> None:
    """Curate whatever has landed at a lab and is in no version yet; and the newest file of each changed contract.

    Each is a run of its own. A run that meets a silent service is started again, later each time, and goes on where it
    was. What is refused is not tried again before its contract changes.
    """
    while True:
        requested = _requested(Home(home))
        for done in curate_all(Home(home), requested, at_once=at_once):
            upload = done.landing.upload
            became = f"version {done.outcome.version}" if done.outcome is not None else f"refused: {done.error}"
            click.echo(f"{upload.dataset} {upload.filename}: {became}")
        if every is None:
            if not requested:
                click.echo("Nothing waits.")
            return
        time.sleep(every)


def _requested(home: Home) -> list[tuple[Landed, str]]:
    """Evaluate the sensor, and return the uploads that it asks runs for."""
    import dagster as dg

    from pipelines.defs.curation.sensors import DUE, UPLOAD, new_landings
    from pipelines.instance import open_instance

    with open_instance(home) as instance, lab_client(home, "pipeline") as lab:
        asked = new_landings(dg.build_sensor_context(instance=instance))
        assert isinstance(asked, Iterator)
        requests = [one for one in asked if isinstance(one, dg.RunRequest)]
        landings = {one.upload.id: one for one in lab.landings()}
    return [(landings[request.tags[UPLOAD]], request.tags[DUE]) for request in requests]
