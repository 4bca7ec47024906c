"""``datalab dataset list``, ``search``, ``show``, ``register``, ``export``; ``permit record``; ``account create``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, get_args

import click
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from catalog.client import lab_client
from catalog.processing_forms import PROCESSING
from catalog.records import AccountDraft, Dataset, DatasetDraft, DatasetState, Role, Version
from catalog.search.model import MAX_PAGE, RemoteHit, SearchQuery, Sort
from catalog.standards.requirements import FORMS, missing_lines
from datalab.boundary import bad_field, read_toml
from datalab.home import Home, write_atomically
from datalab.settings import load_settings

_HOME = click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The home folder of a lab that is running."
)
_PEOPLE = (Role.OPERATOR, Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.command("register")
@click.argument("draft", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--draft", "as_draft", is_flag=True, help="Keep it from others until it is published.")
@_HOME
def register(*, draft: Path, as_draft: bool, home: Path) -> None:
    """Register the dataset that the TOML file DRAFT describes.

    Its fields are those of a dataset in the catalog: id, title, holder, country, access, data_class, kept_at, the data
    contract, legal basis and purposes. A field that is missing or wrong is named.
    """
    try:
        described = DatasetDraft.model_validate(read_toml(draft))
    except ValidationError as error:
        raise bad_field("The dataset", error, where=str(draft)) from error
    with lab_client(Home(home), "operator") as client:
        state = DatasetState.DRAFT if as_draft else DatasetState.PUBLISHED
        dataset = client.register_dataset(described, state=state)
        standards = client.standards(dataset.id)
    click.echo(f"Registered {dataset.id}{' as a draft' if as_draft else ''}.")
    for line in missing_lines(standards):
        click.echo(line)


@click.command("export")
@click.argument("dataset", metavar="[ID]", required=False)
@_HOME
@click.option(
    "--as",
    "form",
    type=click.Choice([*FORMS, *PROCESSING]),
    required=True,
    help="The standard, and its notation; art30 and art35 are Markdown.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
def export(*, dataset: str | None, home: Path, form: str, out: Path | None) -> None:
    """Describe a dataset by a standard, for other catalogues and tools.

    Where the record does not say all that the standard demands, each missing field is named with the reason. art30 is
    the record of processing activities of the GDPR, art35 material for an impact assessment; what is still to be
    written is marked as a gap. Both can be had of the whole lab: leave out ID.
    """
    if dataset is None and form not in PROCESSING:
        raise click.UsageError("Name the dataset: only art30 and art35 are made of the whole lab.")
    with lab_client(Home(home), "operator") as client:
        text = client.processing(form, dataset) if form in PROCESSING else client.export(dataset or "", form)
    if out is None:
        click.echo(text)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(f"Wrote {out}.")


@click.command("lineage")
@click.argument("dataset", metavar="ID")
@_HOME
@click.option("--version", "number", type=click.IntRange(min=1), help="Version; the last one unless it is given.")
@click.option("--as", "form", type=click.Choice(["openlineage"]), required=True, help="The standard.")
def show_lineage(*, dataset: str, home: Path, number: int | None, form: str) -> None:
    """Tell how a version came about: the run events of its stages, one a line, for tools that draw lineage."""
    del form
    with lab_client(Home(home), "operator") as client:
        events = client.lineage(dataset, number or len(client.versions(dataset)))
    for event in events:
        click.echo(json.dumps(event))


@click.command("list")
@_HOME
@_JSON
def list_datasets(*, home: Path, as_json: bool) -> None:
    """List the datasets in the catalog, with their latest version."""
    with lab_client(Home(home), "operator") as client:
        found = [(dataset, client.versions(dataset.id)) for dataset in client.datasets()]
    if as_json:
        click.echo(json.dumps([_facts(dataset, versions) for dataset, versions in found], indent=2))
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("dataset", no_wrap=True, overflow="fold")
    for heading in ("country", "kept at", "class", "access"):
        table.add_column(heading)
    for heading in ("version", "rows"):
        table.add_column(heading, justify="right")
    for dataset, versions in found:
        latest = versions[-1] if versions else None
        table.add_row(
            dataset.id,
            dataset.country,
            dataset.node or "lab",
            dataset.data_class,
            dataset.access,
            str(latest.number) if latest else "none",
            _count(latest.report.rows) if latest else "",
        )
    _console().print(table)


@click.command("search")
@click.argument("words", nargs=-1)
@_HOME
@click.option("--country", multiple=True, help="ISO 3166-1 code of a member state, such as DE; may be repeated.")
@click.option("--holder", multiple=True, help="Id of a data holder.")
@click.option("--theme", multiple=True, help="Code of the EU data-theme vocabulary, such as HEAL.")
@click.option(
    "--access",
    multiple=True,
    type=click.Choice(["public", "restricted", "federated-only"]),
    help="On what terms it may be used.",
)
@click.option("--modality", multiple=True, help="What the data is made of, such as tabular or imaging.")
@click.option("--licence", multiple=True, help="SPDX identifier.")
@click.option(
    "--use", multiple=True, type=click.Choice(["download", "federated"]), help="Whether it may leave, or is trained on."
)
@click.option(
    "--source", multiple=True, help="Catalogue: 'here' for this lab's own, or the id of one that is harvested."
)
@click.option(
    "--sort",
    type=click.Choice(get_args(Sort)),
    default="relevance",
    show_default=True,
    help="In which order: the newest, or the largest, first.",
)
@click.option("--page", type=click.IntRange(1, MAX_PAGE), default=1, show_default=True, help="Which page, from 1.")
@_JSON
def search(*, words: Sequence[str], home: Path, sort: Sort, page: int, as_json: bool, **filters: Sequence[str]) -> None:
    """Find datasets by WORDS in English, German or French.

    Words may be cut short, misspelt, or parts of compounds. Filters combine: a dataset has to have one of the values of
    each. Beneath the datasets stands how many there are of each value.
    """
    try:
        asked = SearchQuery.model_validate(
            {"text": " ".join(words), "filters": {k: v for k, v in filters.items() if v}, "sort": sort, "page": page}
        )
    except ValidationError as error:
        raise bad_field("The search", error, where="the command line") from error
    with lab_client(Home(home), "operator") as client:
        found = client.search(asked)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("dataset", no_wrap=True, overflow="fold")
    for heading in ("title", "holder", "country", "access"):
        table.add_column(heading)
    table.add_column("rows", justify="right")
    for hit in found.hits:
        if isinstance(hit, RemoteHit):
            said = hit.remote.described
            holder = f"{said.publisher or ''} (remote: {hit.remote.source_name})".strip()
            table.add_row(hit.remote.id, said.title, holder, hit.remote.country, said.access or "", "")
            continue
        dataset, rows = hit.dataset, _count(hit.rows) if hit.version else ""
        table.add_row(dataset.id, dataset.title, dataset.holder_name, dataset.country, dataset.access, rows)
    console = _console()
    console.print(table)
    console.print(f"{found.total:,} found; page {found.page} of {max(1, found.pages)}")
    for facet, counts in found.facets.items():
        if counts:
            console.print(f"{facet}: " + ", ".join(f"{one.value} {one.count:,}" for one in counts[:10]))


@click.command("show")
@click.argument("dataset", metavar="ID")
@_HOME
@_JSON
def show(*, dataset: str, home: Path, as_json: bool) -> None:
    """Show a dataset: what it is, on what terms, and the quality record of each of its versions."""
    with lab_client(Home(home), "operator") as client:
        found, versions = client.dataset(dataset), client.versions(dataset)
    if as_json:
        click.echo(json.dumps(_facts(found, versions), indent=2))
        return
    console = _console()
    console.print(_terms(found))
    for version in versions:
        console.print(_quality(version))


def _console() -> Console:
    """Return a console that prints what holders and nodes wrote as it is, and obeys none of it."""
    return Console(markup=False, emoji=False, highlight=False)


@click.command("record")
@click.argument("permit", type=click.File("r"))
@_HOME
def record_permit(*, permit: IO[str], home: Path) -> None:
    """Put the signed PERMIT (a file, or - for standard input) on the lab's record, so that runs may name it.

    The lab takes it only if a key that it pins has signed it: put the access body's public key (*.jwk) into the folder
    permit-keys in the lab's home. The nodes check it again, against keys of their own.
    """
    with lab_client(Home(home), "operator") as client:
        recorded = client.record_permit(permit.read().strip())
    click.echo(f"Recorded {recorded.id}: {recorded.claims.project}, until {recorded.claims.expires:%Y-%m-%d}.")


@click.command("create")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in _PEOPLE]),
    required=True,
    help="What the person may do.",
)
@click.option(
    "--organisation", required=True, help="Identifier of the person's organisation; for a steward, the holder's."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="File for the one-time code; NAME.code in the present folder if this is left out.",
)
@_HOME
def create_account(*, name: str, role: str, organisation: str, out: Path | None, home: Path) -> None:
    """Make the account NAME for a person, with a one-time code to choose a password with.

    The code goes into a file that only you can read; hand it over by a way that you trust. With the name, role and
    organisation of an account that is there, its owner can choose a new password.
    """
    try:
        draft = AccountDraft(name=name, role=Role(role), organisation=organisation)
    except ValidationError as error:
        raise bad_field("The account", error) from error
    with lab_client(Home(home), "operator") as client:
        invitation = client.invite(draft)
    file = out or Path(f"{name}.code")
    write_atomically(file, f"{invitation.code}\n".encode())
    click.echo(f"{name} can sign in once a password is chosen, with the one-time code in {file}:")
    at = load_settings(Home(home)).public_url or Home(home).address("lab")["url"]
    click.echo(f"  {at}/password  until {invitation.expires:%Y-%m-%d %H:%M} UTC")


def _facts(dataset: Dataset, versions: Sequence[Version]) -> dict[str, object]:
    return {**dataset.model_dump(mode="json"), "versions": [one.model_dump(mode="json") for one in versions]}


def _terms(dataset: Dataset) -> Table:
    table = Table(title=f"{dataset.title} ({dataset.id})", show_header=False)
    facts = {
        "description": dataset.description,
        "data holder": f"{dataset.holder_name} ({dataset.country})",
        "steward": dataset.steward,
        "kept at": f"node {dataset.node}" if dataset.node else "the lab",
        "data class": dataset.data_class,
        "access": dataset.access,
        "licence": dataset.licence or "none stated",
        "legal basis": dataset.legal_basis or "none stated",
        "purposes": ", ".join(dataset.purposes) + " of EHDS Art. 53(1)" if dataset.purposes else "none stated",
        "contract": f"{dataset.contract_id} {dataset.contract_version}",
        "state": f"{dataset.state}: {dataset.state_reason}" if dataset.state_reason else dataset.state,
        "revision": str(dataset.revision),
    }
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def _quality(version: Version) -> Table:
    report = version.report
    state = "withdrawn" if version.withdrawn else version.state
    table = Table(title=f"Version {version.number}, {state} {version.created:%Y-%m-%d %H:%M} UTC")
    for heading in ("check", "passed", "detail"):
        table.add_column(heading)
    for check in report.checks:
        table.add_row(check.name, "yes" if check.passed else "no", check.detail)
    table.caption = (
        f"{_count(report.rows)} rows, {_count(report.rejected_rows)} rejected; {len(report.columns)} columns"
    )
    return table


def _count(number: int | None) -> str:
    return "withheld" if number is None else f"{number:,}"
