"""``datalab catalog add``, ``list``, ``harvest``, ``remove``: other catalogues, whose datasets are found here."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from catalog.client import lab_client
from catalog.errors import CatalogError, ConflictError
from catalog.harvest.records import Harvest, SourceDraft
from datalab.boundary import bad_field
from datalab.home import Home

_HOME = click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The home folder of a lab that is running."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.command("add")
@click.argument("source", metavar="ID")
@click.option("--name", required=True, help="As people read it beside its datasets.")
@click.option("--address", help="Of its DCAT-AP: Turtle, JSON-LD or RDF/XML. Left out: only files are handed in.")
@click.option("--country", required=True, help="ISO 3166-1 code of the member state whose catalogue it is, such as NL.")
@click.option(
    "--every", "every_hours", type=click.IntRange(1, 8760), help="Hours between harvests; left out: only when asked."
)
@_HOME
def add(*, source: str, name: str, address: str | None, country: str, every_hours: int | None, home: Path) -> None:
    """Put another catalogue on record under a short ID, so that its datasets can be found here.

    They are described here and nothing more: access is asked for at the catalogue that they come from. Addresses are
    fetched by https, from public hosts; [harvest] in datalab.toml allows others.
    """
    try:
        draft = SourceDraft(id=source, name=name, address=address, country=country, every_hours=every_hours)
    except ValidationError as error:
        raise bad_field("The catalogue", error, where="the command line") from error
    with lab_client(Home(home), "operator") as client:
        added = client.add_source(draft)
    click.echo(f"Added {added.id}. Its first harvest: datalab catalog harvest {added.id} --home {home}")


@click.command("harvest")
@click.argument("source", metavar="ID")
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="All of the catalogue in a file (.ttl, .nt, .jsonld, .rdf), instead of what is at its address.",
)
@click.option("--allow-removals", is_flag=True, help="Withdraw what is gone from it, however much that is.")
@_JSON
@_HOME
def harvest(*, source: str, file: Path | None, allow_removals: bool, as_json: bool, home: Path) -> None:
    """Take over what the catalogue ID says now: datasets that are new, have changed, or are gone.

    The same catalogue again changes nothing. A dataset that cannot be read is named, and the others go on. Where more
    is gone than the lab's settings let go at once, nothing is changed unless --allow-removals is given.
    """
    with lab_client(Home(home), "operator") as client:
        done = client.harvest(source, file=file, allow_removals=allow_removals).last
    assert done is not None, "a harvest leaves its result"
    if as_json:
        click.echo(done.model_dump_json(indent=2))
    else:
        _tell(done)
    if done.outcome == "refused":
        raise ConflictError(done.message)
    if done.outcome == "failed":
        raise CatalogError(done.message)


@click.command("list")
@_HOME
@_JSON
def list_sources(*, home: Path, as_json: bool) -> None:
    """List the catalogues that are harvested, with what came of each last."""
    with lab_client(Home(home), "operator") as client:
        found = client.sources()
    if as_json:
        click.echo(f"[{', '.join(one.model_dump_json(exclude={'pages'}) for one in found)}]")
        return
    table = Table("id", "name", "country", "entries", "every", "last harvest", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for one in found:
        every = "" if one.every_hours is None else f"{one.every_hours} h"
        last = "never" if one.last is None else f"{one.last.at:%Y-%m-%d %H:%M} UTC: {one.last.outcome}"
        table.add_row(one.id, one.name, one.country, f"{one.entries:,}", every, last)
    Console(markup=False, emoji=False, highlight=False).print(table)


@click.command("remove")
@click.argument("source", metavar="ID")
@_HOME
def remove(*, source: str, home: Path) -> None:
    """Take the catalogue ID off the record, and the datasets that were found in it."""
    with lab_client(Home(home), "operator") as client:
        client.remove_source(source)
    click.echo(f"Removed {source}.")


def _tell(done: Harvest) -> None:
    if done.outcome in {"refused", "failed"}:
        return
    if done.outcome == "unchanged":
        click.echo(f"Nothing has changed: {done.unchanged:,} entries are as they were.")
    else:
        counts = f"{done.added:,} new, {done.updated:,} changed, {done.withdrawn:,} withdrawn"
        click.echo(f"{counts}, {done.unchanged:,} as they were.")
    if done.message:
        click.echo(done.message)
    for one in done.problems:
        click.echo(f"  not taken over: {one.entry}: {one.what}")
    if done.problem_count > len(done.problems):
        click.echo(f"  and {done.problem_count - len(done.problems):,} more")
