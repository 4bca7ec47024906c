"""``datalab dataset download``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from catalog.client import asked_lab
from catalog.fetch import fetch


@click.command("download")
@click.argument("dataset", metavar="ID")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder for the files; here by default.",
)
@click.option("--version", type=click.IntRange(1), help="Which version; the latest unless one is named.")
@click.option("--home", type=click.Path(path_type=Path, exists=True), help="The lab's home, on its own machine.")
@click.option("--lab", metavar="URL", envvar="DATALAB_LAB", help="Address of the lab, from elsewhere.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    envvar="DATALAB_TOKEN_FILE",
    help="File with your API token, from your account's page.",
)
def download(
    *, dataset: str, folder: Path, version: int | None, home: Path | None, lab: str | None, token_file: Path | None
) -> None:
    """Fetch the files of a dataset that may leave the lab, and check them against the catalog.

    Only anonymous data leaves. A download that broke off goes on where it stopped when the command is called again.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with asked_lab(home, lab, token_file) as client, Progress(*columns, console=console, transient=True) as progress:
        tasks = {}

        def tell(path: Path, done: int, size: int) -> None:
            if path not in tasks:
                tasks[path] = progress.add_task(path.name, total=size)
            progress.update(tasks[path], completed=done)

        paths = fetch(client, dataset, folder, version=version, tell=tell)
    for path in paths:
        click.echo(f"{path}: whole, its SHA-256 is the catalog's.")
