"""``datalab node dataset add``: a file of this site, curated here for training."""

from __future__ import annotations

from pathlib import Path

import click

from datalab.home import Home
from federation.commands.node import home_option

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("dataset", metavar="ID")
@click.argument("file", type=_FILE)
@click.option("--contract", type=_FILE, required=True, help="The data contract of FILE; it is copied into the home.")
@click.option("--privacy-budget", type=click.FloatRange(min=0), help="Epsilon that all runs together may spend on it.")
@home_option
def add(dataset: str, file: Path, contract: Path, privacy_budget: float | None, folder: Path) -> None:
    """Curate FILE on this site by its contract, and add it to node.toml as the dataset ID.

    FILE lies below the node's home. Its records are checked and harmonised by the engine that the lab runs, with the
    same result byte for byte. Nothing of it leaves: the node announces schema and permitted counts when it starts.
    """
    from datalab.curation.commands import show_curation, show_rejects
    from federation.node.adding import add_dataset

    report = add_dataset(Home(folder), dataset, file, contract, privacy_budget=privacy_budget)
    curated = folder / "curated" / dataset / "v1"
    show_curation(report, curated)
    show_rejects(curated / "rejects.csv", report.rejected_rows or 0)
    for check in report.checks:
        if not check.passed:
            click.echo(f"A rule of the contract is broken: {check.detail}", err=True)
    click.echo(f"{dataset} is in {folder / 'node.toml'}; the node announces it when it starts the next time.")
