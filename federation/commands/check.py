"""``datalab node check``: why a node would, or would not, take part in a run."""

from __future__ import annotations

from pathlib import Path

import click

from datalab.errors import RefusedError
from datalab.home import Home
from federation.commands.node import home_option

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("offer", type=_PATH, required=False)
@home_option
@click.option("--run-folder", type=_PATH, metavar="FOLDER", help="A run that was submitted, instead of OFFER.")
def check(offer: Path | None, folder: Path, run_folder: Path | None) -> None:
    """Explain, clause by clause, whether this node would take part in a run, as things are now.

    OFFER is a TOML or JSON file with app (folder or bundle), app_signature (file, if any), dataset, version, purpose,
    permit (file) and config; files are named as seen from it. The code that explains is the code that decides. Who
    offers the run is checked only when it is offered.
    """
    from rich.console import Console
    from rich.table import Table

    from federation.node.approvals import printable
    from federation.node.check import check as explain
    from federation.node.check import described_in, submitted_in
    from federation.run import RunFolder

    if (offer is None) is (run_folder is None):
        raise click.UsageError("Name either OFFER, a file that describes the run, or --run-folder.")
    home = Home(folder)
    if offer is not None:
        asked = described_in(offer)
    else:
        assert run_folder is not None
        asked = submitted_in(RunFolder(run_folder), home)
    clauses = explain(home, asked)
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("Clause", "Allowed", "Why"):
        table.add_column(heading, overflow="fold")
    for clause in clauses:
        table.add_row(clause.name, "no" if clause.refusal else "yes", printable(clause.why))
    Console(markup=False, highlight=False).print(table)
    refused = [clause.name for clause in clauses if clause.refusal]
    if refused:
        raise RefusedError(f"This node would not take part: {', '.join(refused)}.")
    click.echo("This node would take part.")
