"""``datalab dataset prepare`` and ``curate``; ``datalab contract infer``, ``check`` and ``diff``."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datalab.errors import BadInputError

if TYPE_CHECKING:
    from datalab.curation.contract import Contract
    from datalab.curation.infer import Inference
    from datalab.curation.report import CurationReport, PreparationReport

_FILE = click.Path(path_type=Path)
_SHOWN = 3


@click.command()
@click.argument("contract", type=_FILE)
@click.argument("file", type=_FILE)
@click.option("--out", required=True, type=_FILE, help="CSV file to write.")
@click.option("--key", type=_FILE, help="The holder's key, where the contract asks for pseudonyms.")
@click.option("--report", type=_FILE, help="Also write the report, as JSON, to this file.")
def prepare(contract: Path, file: Path, out: Path, key: Path | None, report: Path | None) -> None:
    """De-identify FILE at its holder, as CONTRACT says, before it is handed to a lab.

    Columns with direct identifiers and prose are left out, persons get pseudonyms by the holder's key, dates are moved,
    ages become bands, and people who would stand out (too few others share their band and other telling traits) are
    left out too; how many that costs is shown. Records that break the
    contract are not passed on; the file named after --out with the ending .rejects.csv says where they are and why.
    """
    from datalab.curation.contract import load_contract
    from datalab.curation.deidentify import prepare as run
    from datalab.curation.key import load_key
    from datalab.home import write_atomically

    result = run(load_contract(contract), file, out, key=None if key is None else load_key(key))
    if report is not None:
        write_atomically(report, result.model_dump_json(indent=2).encode() + b"\n")
    _show_preparation(result, out)
    show_rejects(out.with_name(f"{out.stem}.rejects.csv"), result.rejected_rows)


@click.command()
@click.argument("contract", type=_FILE)
@click.argument("file", type=_FILE)
@click.option("--out", required=True, type=_FILE, help="Folder to write data.parquet, rejects.csv and report.json to.")
@click.option("--prepared", is_flag=True, help="FILE comes from `datalab dataset prepare`.")
@click.option("--key", type=_FILE, help="De-identify FILE first, with this key, as `datalab dataset prepare` would.")
def curate(contract: Path, file: Path, out: Path, key: Path | None, *, prepared: bool) -> None:
    """Curate FILE into the harmonised table of CONTRACT.

    Every record is checked (columns, types, required values, code lists, ranges). Those that keep the contract are
    transformed, sorted and written as Parquet; the others are listed in rejects.csv with line, column and rule, never
    with the value.
    """
    from datalab.curation.contract import load_contract
    from datalab.curation.engine import REJECTS
    from datalab.curation.engine import curate as run
    from datalab.curation.key import load_key

    secret = None if key is None else load_key(key)
    result = run(load_contract(contract), file, out, prepared=prepared, key=secret)
    show_curation(result, out)
    show_rejects(out / REJECTS, result.rejected_rows or 0)
    failed = [check for check in result.checks if not check.passed]
    if failed:
        raise BadInputError(
            f"{len(failed)} of {len(result.checks)} checks failed; the first: {failed[0].detail}",
            where=str(out / "report.json"),
            next_step="Do not use the data before this is understood.",
        )


@click.command()
@click.option("--out", required=True, type=_FILE, help="File to write the key to, for its owner only.")
def keygen(out: Path) -> None:
    """Make the key from which a holder's pseudonyms and date shifts come.

    Who has it can tell which pseudonym is whose, and without it nobody can make the same pseudonyms again: keep it
    apart from the data, and keep a copy.
    """
    from datalab.curation.key import make_key

    make_key(out)
    click.echo(f"Written to {out}. Name it with --key in `datalab dataset prepare`; it never belongs beside the data.")


@click.command()
@click.argument("files", type=_FILE, nargs=-1, required=True, metavar="FILE...")
@click.option("--out", required=True, type=_FILE, help="Contract to write; a file that is there is not overwritten.")
@click.option("--id", "contract_id", help="Id of the contract; the first file's name unless it is given.")
@click.option("--title", help="What the table is, in a line; the first file's name unless it is given.")
@click.option(
    "--resource", help="Of a file of FHIR, the resource type to look at; the most frequent unless it is given."
)
def infer(files: tuple[Path, ...], out: Path, contract_id: str | None, title: str | None, resource: str | None) -> None:
    """Look at FILE and write a first contract for it, to be corrected and completed by hand.

    Delimiter, encoding, decimal commas, types, ways of writing dates, units, code lists and texts that mean "no value"
    are found by looking at all of it; columns that look as if they told who a person is are marked to stay with the
    holder. What the columns mean only you can say.

    FILE is CSV, plain or gzip; Parquet; or JSON: a record a line (NDJSON), a list, a FHIR bundle. Of nested records
    each value becomes a column with its path; of lists, the first element.

    Several files of one source, as of each month, make one contract that all of them keep. A column that one of them
    lacks is not required.
    """
    import re
    import tempfile

    from datalab.curation.flatten import infer_any
    from datalab.curation.proposal import contract_text
    from datalab.errors import NotFoundError

    for file in files:
        if not file.is_file():
            raise NotFoundError(f"There is no file {file}.", next_step="Name a file that exists.")
    if out.exists():
        raise BadInputError(f"{out} is there already.", next_step="Name another file to write with --out.")
    first, *more = files
    stem = re.sub(r"[^a-z0-9]+", "-", first.name.partition(".")[0].lower()).strip("-")
    with tempfile.TemporaryDirectory() as folder:
        found = infer_any(first, Path(folder), resource=resource, more=more)
    text = contract_text(
        found, contract_id=contract_id or stem or "contract", version="1.0.0", title=title or first.name
    )
    out.write_text(text, encoding="utf-8")
    _show_inference(found, out, len(files))


@click.command()
@click.argument("contract", type=_FILE)
def check(contract: Path) -> None:
    """Check that CONTRACT is a data contract that Datalab can carry out, and say in short what it promises."""
    from datalab.curation.contract import load_contract

    found = load_contract(contract)
    dropped = [column.name for column in found.export.columns if column.drop]
    rows = [
        ("Columns of the export", f"{len(found.export.columns):,}"),
        ("Stay with the holder", ", ".join(dropped) or "none"),
        _alike(found),
        ("Columns of the harmonised table", f"{len(found.harmonised.columns):,}"),
        ("Outcome", found.harmonised.outcome or "none"),
        ("Rows left out", ", ".join(one.name for one in found.harmonised.exclusions) or "none"),
        ("Rules on quality", f"{len(found.harmonised.quality):,}"),
        ("Smallest count told", f"{found.disclosure_threshold:,}"),
    ]
    _table(f"{found.id} {found.version} is a contract that can be carried out", rows)
    if not found.export.quasi_identifiers:
        click.echo(
            "Nobody is kept from standing out by age, place or the like: name the columns in datalab.kAnonymity before "
            "data of persons leaves the house."
        )


@click.command()
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
def diff(old: Path, new: Path) -> None:
    """Say what changes from contract OLD to NEW, and for whom that breaks something.

    It breaks something for consumers if the harmonised table no longer keeps what it promised, and for holders if a
    file that kept OLD breaks NEW, or if more would leave the house. Such changes need a new major version; without one
    the command ends with an error.
    """
    from datalab.curation.contract import load_contract
    from datalab.curation.difference import check_version, compare

    before, after = load_contract(old), load_contract(new)
    changes = compare(before, after)
    if not changes:
        click.echo(f"{after.id} {after.version}: no change that matters to anyone.")
    for change in changes:
        click.echo(f"{f'breaks {change.breaks}' if change.breaks else 'compatible':<18}{change.where}: {change.what}")
    check_version(before, after, changes)


def _show_inference(found: Inference, out: Path, files: int) -> None:
    from rich.console import Console
    from rich.table import Table

    how = f"delimiter {found.delimiter!r}, {found.encoding}, decimals {found.decimal!r}"
    written = f"{found.records:,} records; {how if found.format == 'csv' else found.resource_type or found.format}"
    where = "the file" if files == 1 else f"{files} files"
    table = Table(title=f"Found in {where}: {written}", title_justify="left")
    for heading in ("column", "type", "unit", "values", "missing", ""):
        table.add_column(heading, justify="right" if heading == "missing" else "left")
    for column in found.columns:
        values = f"{column.distinct:,} different"
        if column.format:
            values = column.format
        elif column.codes:
            values = ", ".join(str(code) for code in column.codes)
        elif column.low is not None and column.high is not None:
            values = f"{column.low:g} to {column.high:g}"
        notes = ["stays with the holder"] if column.identifier else ["all different"] if column.why == "values" else []
        notes += [f"{column.misfits:,} of another kind"] if column.misfits else []
        table.add_row(column.name, column.type, column.unit, values, f"{column.missing:,}", ", ".join(notes))
    Console().print(table)
    for hint in _hints(found):
        click.echo(hint)
    click.echo(f"Written to {out}. Say there what the columns mean, and see `datalab contract check {out}`.")


def _hints(found: Inference) -> list[str]:
    """Say what a person has to look at before the contract is used."""
    hints = []
    telling = [column.name for column in found.columns if column.why == "values" and not column.identifier]
    prose = [column.name for column in found.columns if column.why == "text"]
    misfits = sum(column.misfits for column in found.columns)
    if len(found.columns) == 1:
        hints.append("Only one column was found: are the columns' names in the first line?")
    if prose:
        hints.append(
            f"Prose, or values that look as if they told who somebody is, in {', '.join(prose)}: proposed to stay."
        )
    if telling:
        hints.append(
            f"Every record has another value in {', '.join(telling)}. If one tells who a person is, give it "
            "datalab.deidentify: drop or pseudonym; as it stands it leaves the holder."
        )
    if misfits:
        noun = "value is" if misfits == 1 else "values are"
        hints.append(
            f"{misfits:,} {noun} of another kind than the rest of the column; their records will be rejected. Correct "
            "them at the source, or add what stands there to datalab.missing."
        )
    return hints


def _alike(found: Contract) -> tuple[str, str]:
    quasi = ", ".join(found.export.quasi_identifiers)
    return (f"Persons alike in {quasi}", f"{found.export.k:,} or more") if quasi else ("Quasi-identifiers", "none")


def _show_preparation(report: PreparationReport, out: Path) -> None:
    quasi = ", ".join(report.quasi_identifiers)
    rows = [
        ("Records in the file", f"{report.rows_in:,}"),
        ("Rejected: break the contract", f"{report.rejected_rows:,}"),
        *(
            [(f"Suppressed: fewer than {report.k} alike", f"{report.suppressed:,} ({report.loss:.1%})")]
            if quasi
            else []
        ),
        ("Written", f"{report.rows_out:,}"),
        *(
            [(f"Classes by {quasi}", f"{report.classes:,}"), ("Smallest class", f"{report.smallest_class:,}")]
            if quasi
            else [("Quasi-identifiers", "none: nobody is kept from standing out")]
        ),
        *([("Fewest sensitive values in a class", f"{report.l:,}")] if report.l is not None else []),
        *([("Farthest class from all rows (t)", f"{report.t:.3f}")] if report.t is not None else []),
        *([("Persons with a pseudonym", f"{report.pseudonymised:,}")] if report.pseudonymised else []),
        *(
            (f"Withheld of {column}", ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()))
            for column, kinds in report.withheld.items()
        ),
        ("Columns left out", ", ".join(report.dropped) or "none"),
        ("Columns in bands", ", ".join(f"{name} ({width})" for name, width in report.banded.items()) or "none"),
    ]
    _table(f"Prepared {out}", rows)


def show_curation(report: CurationReport, out: Path) -> None:
    """Print what became of the records of a file."""
    rows = [
        ("Records in the file", f"{report.rows_in:,}"),
        ("Rejected: break the contract", f"{report.rejected_rows:,}"),
    ]
    rows += [(f"Excluded: {name}", f"{count:,}") for name, count in report.excluded.items()]
    rows.append((f"Rows in {out / 'data.parquet'}", f"{report.rows:,}"))
    if report.events is not None:
        rows.append(("With the outcome", f"{report.events:,}"))
    rows += [(f"Codes kept without a map: {name}", f"{count:,}") for name, count in report.unmapped.items()]
    passed = sum(check.passed for check in report.checks)
    rows.append(("Checks passed", f"{passed} of {len(report.checks)}"))
    _table(f"Curated by {report.contract_id} {report.contract_version}", rows)


def _table(title: str, rows: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)


def show_rejects(path: Path, rejected: int) -> None:
    """Say in one sentence where the first findings are."""
    with path.open(encoding="utf-8", newline="") as file:
        first = list(islice(csv.DictReader(file), _SHOWN))
    if not first:
        return
    places = "; ".join(_place(one) for one in first)
    noun = "record breaks" if rejected == 1 else "records break"
    subject = f"{rejected:,} {noun} the contract" if rejected else "The header differs from the contract"
    click.echo(f"{subject}; all findings are in {path}, the first: {places}.", err=True)


def _place(finding: dict[str, str]) -> str:
    column = f" {finding['column']}" if finding["column"] else ""
    return f"{finding['file']}:{finding['line']}{column}: {finding['rule']}"
