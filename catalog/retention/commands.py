"""``datalab retention`` and ``datalab dataset hold``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from catalog.client import lab_client
from datalab.home import Home

_HOME = click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The home folder of a lab that is running."
)


@click.command("retention")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option(
    "--on",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="With --dry-run: what would be removed on that day, such as 2030-01-31.",
)
@_HOME
def retention(*, dry_run: bool, day: datetime | None, home: Path) -> None:
    """Remove what has outlived its time: data of versions, raw files, rejects, what runs left behind, ended sessions.

    Journals of runs go once the run has ended.

    A lab does so by itself each hour, with an entry in the audit chain for each. How long things are kept, a dataset's
    retention says, and [retention] in datalab.toml. What is under legal hold (`datalab dataset hold`) stays.
    """
    if day is not None and not dry_run:
        raise click.UsageError("--on is for --dry-run: nothing is removed before its time.")
    with lab_client(Home(home), "operator") as client:
        at = None if day is None else day.replace(tzinfo=UTC)
        found = client.retention(at) if dry_run else client.carry_out_retention()
    table = Table("what", "which", "its time ended", "stays", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for one in found:
        table.add_row(one.kind, one.subject, f"{one.since:%Y-%m-%d %H:%M}", one.held and f"legal hold: {one.held}")
    Console(markup=False, emoji=False, highlight=False).print(table)
    going = sum(one.held is None for one in found)
    click.echo(f"{going} would be removed; nothing was." if dry_run else f"{going} removed.")


@click.command("hold")
@click.argument("dataset", metavar="ID")
@click.option("--reason", help="Why, such as a lawsuit.")
@click.option("--release", is_flag=True, help="End the hold.")
@_HOME
def hold(*, dataset: str, reason: str | None, release: bool, home: Path) -> None:
    """Put the dataset ID under legal hold: nothing of it is removed for its age until it is released."""
    if (reason is None) is not release:
        raise click.UsageError("Give --reason to hold it, or --release.")
    with lab_client(Home(home), "operator") as client:
        client.hold(dataset, reason)
    click.echo(f"{dataset} is {'no longer' if release else 'now'} under legal hold.")
