"""``datalab dataset publish``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from datalab.errors import error_of_child
from datalab.home import Home
from datalab.service import python_module


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
    from catalog.client import lab_client
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
