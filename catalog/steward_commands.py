"""``datalab dataset edit``, ``state``, ``compare``, ``withdraw``; ``datalab erase``; ``datalab audit checkpoints``."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from catalog.client import lab_client
from catalog.compare import Comparison
from catalog.erasure.records import ErasureDraft
from catalog.records import DatasetPatch, DatasetState, StateChange
from catalog.snapshot import BACKUP
from datalab.boundary import bad_field, read_toml
from datalab.errors import RefusedError
from datalab.home import Home
from datalab.permits.keys import load_public_key

_HOME = click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The home folder of a lab that is running."
)
_REVISION = click.option(
    "--revision",
    type=click.IntRange(1, 1_000_000),
    required=True,
    help="The revision that you have seen (`datalab dataset show`); if it has changed since, nothing is overwritten.",
)


@click.command("edit")
@click.argument("dataset", metavar="ID")
@click.argument("changes", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_REVISION
@_HOME
def edit(*, dataset: str, changes: Path, revision: int, home: Path) -> None:
    """Change a dataset by the TOML file CHANGES, whose fields take the place of those on record.

    Where somebody else has changed it since the revision that you have seen, you are told who has changed what;
    nothing is overwritten, and your file can be sent again.
    """
    try:
        patch = DatasetPatch.model_validate(read_toml(changes))
    except ValidationError as error:
        raise bad_field("The change", error, where=str(changes)) from error
    with lab_client(Home(home), "operator") as client:
        changed = client.update_dataset(dataset, patch, revision=revision)
    click.echo(f"Changed {changed.id}; it is at revision {changed.revision}.")


@click.command("state")
@click.argument("dataset", metavar="ID")
@click.argument("state", type=click.Choice([one.value for one in DatasetState]))
@click.option("--reason", help="Why; whoever knows of the dataset can read it.")
@_REVISION
@_HOME
def move(*, dataset: str, state: str, reason: str | None, revision: int, home: Path) -> None:
    """Publish a draft, withdraw a published dataset, delete one that is not published, or restore it as a draft."""
    try:
        wanted = StateChange(state=DatasetState(state), reason=reason)
    except ValidationError as error:
        raise bad_field("The reason", error, where="--reason") from error
    with lab_client(Home(home), "operator") as client:
        moved = client.move_dataset(dataset, wanted, revision=revision)
    click.echo(f"{moved.id} is {moved.state}; it is at revision {moved.revision}.")


@click.command("withdraw")
@click.argument("dataset", metavar="ID")
@click.argument("version", type=click.IntRange(1, 1_000_000))
@click.option("--reason", required=True, help="Why; whoever knows of the dataset can read it.")
@_HOME
def withdraw(*, dataset: str, version: int, reason: str, home: Path) -> None:
    """Withdraw a VERSION for good: its record stays and says why, and nobody may use it any more."""
    with lab_client(Home(home), "operator") as client:
        client.withdraw_version(dataset, version, reason)
    click.echo(f"Version {version} of {dataset} is withdrawn.")


@click.command("compare")
@click.argument("dataset", metavar="ID")
@click.argument("before", type=click.IntRange(1, 1_000_000))
@click.argument("after", type=click.IntRange(1, 1_000_000))
@_HOME
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare(*, dataset: str, before: int, after: int, home: Path, as_json: bool) -> None:
    """Compare two versions of a dataset: columns, rows and checks."""
    with lab_client(Home(home), "operator") as client:
        found = client.compare(dataset, before, after)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    console = Console(markup=False, emoji=False, highlight=False)
    for table in _tables(found):
        console.print(table)


@click.command("erase")
@click.argument("holder")
@click.argument("pseudonym", type=click.File("r", encoding="utf-8"))
@click.option("--reason", required=True, help="Why; it stays on record and must name nobody.")
@_HOME
def erase(*, holder: str, pseudonym: IO[str], reason: str, home: Path) -> None:
    """Remove a person from everything that the lab keeps of the data holder HOLDER, and leave them out from now on.

    PSEUDONYM is a file with the holder's pseudonym for the person and nothing else, or - for standard input. Versions
    are written anew without the person, raw files that name the person are removed, and a signed record remains.
    """
    try:
        draft = ErasureDraft(holder=holder, pseudonym=pseudonym.read().strip(), reason=reason)
    except ValidationError as error:
        raise bad_field("The erasure", error) from error
    with lab_client(Home(home), "operator") as client:
        done = client.erase(draft)
        backups = [one for one in client.kept_backups() if done.id in one.erased_since]
    if done.versions or done.uploads:
        click.echo(f"Erased; record {done.id}.")
    else:
        click.echo(f"Nothing that the lab keeps of {holder} names this person: is the pseudonym written right?")
        click.echo(f"Whatever comes in from now on is taken without them; record {done.id}.")
    for one in done.versions:
        click.echo(f"  {one.dataset} version {one.version} was written anew")
    for upload in done.uploads:
        click.echo(f"  raw file {upload} was removed; hand it in again without the person")
    for node in done.elsewhere:
        click.echo(f"  the node {node} keeps data of {holder}: erase the person there too, with datalab node erase")
    for kept in backups:
        what = "the lab takes it anew within minutes" if kept.by == BACKUP else "take it again, or destroy it"
        click.echo(f"  the backup of {kept.taken:%Y-%m-%d} in {kept.folder} holds the person still: {what}")


@click.command("checkpoints")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The lab's public key for evidence, as you got it when the lab was new: secrets/evidence in its home has it.",
)
@_HOME
def checkpoints(*, folder: Path, key: Path, home: Path) -> None:
    """Compare the lab's audit chain with the signed checkpoints in FOLDER, which the lab cannot have rewritten."""
    from catalog.evidence import read_checkpoints

    kept = read_checkpoints(folder, load_public_key(key))
    with lab_client(Home(home), "operator") as client:
        whole = client.verify_events()
        for one in kept:
            found = client.events(after=one.events - 1, limit=1)
            if [event.hash for event in found] != [one.head]:
                raise RefusedError(
                    f"The audit chain is not the one that had {one.events} events on {one.time:%Y-%m-%d %H:%M} UTC.",
                    where=str(folder),
                    next_step="Keep both as they are: the chain was rewritten or cut off since.",
                )
    if whole.broken_at is not None:
        raise RefusedError(f"The audit chain is broken at event {whole.broken_at}.", next_step="Keep it as it is.")
    click.echo(f"{len(kept)} checkpoints fit; the chain has {whole.events} events and is whole.")


def _tables(found: Comparison) -> list[Table]:
    counts, columns, checks = (
        _table(kind, f"version {found.before}", f"version {found.after}", last)
        for kind, last in (("count", "difference"), ("column", "change"), ("check", "change"))
    )
    for count in found.counts:
        difference = "" if count.difference is None else f"{count.difference:+,}"
        counts.add_row(count.name, _told(count.before), _told(count.after), difference)
    for column in found.columns:
        forms = [f"{one.type} {one.unit or ''}".strip() if one else "" for one in (column.before, column.after)]
        columns.add_row(column.name, *forms, column.change)
    for check in found.checks:
        results = [("passed" if one.passed else "failed") if one else "" for one in (check.before, check.after)]
        checks.add_row(check.name, *results, check.change)
    return [counts, columns, checks]


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading)
    return table


def _told(count: int | None) -> str:
    return "withheld" if count is None else f"{count:,}"
