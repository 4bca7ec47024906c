"""``datalab node erase``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from datalab.errors import BadInputError
from datalab.home import Home
from federation.commands.node import home_option


@click.command()
@home_option
@click.option("--reason", required=True, help="Why, such as: GDPR Art. 17. It goes into the node's audit log.")
def erase(folder: Path, *, reason: str) -> None:
    """Remove a person from what this node has curated, and leave them out from now on.

    The pseudonym by which your data names them is asked for, or read from standard input; it is never an argument,
    which others on this machine could see, and is kept nowhere. Curated tables are written anew with a new digest, and
    the lab hears of that, not of whom. It works while the agent runs: the next run is on the data without them.
    Raw files are yours: those that still name the person are listed, for you to replace.
    """
    from federation.node.erasure import erase as carry_out

    asked = click.prompt("Pseudonym", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not (pseudonym := asked.strip()):
        raise BadInputError("No pseudonym was given.", next_step="Write it on standard input, one line.")
    done = carry_out(Home(folder), pseudonym, reason=reason)
    for one in done.cleared:
        click.echo(f"Removed from {one}.")
    for path in done.copies:
        click.echo(f"Removed the fetched copy {path}.")
    click.echo("From now on they are left out of every curation here.")
    for one in done.unknown:
        click.echo(f"WARNING: the contract of {one} names no pseudonym, so nobody can be found in it.", err=True)
    for path in done.sources:
        click.echo(f"WARNING: the raw file {path} still names them. Replace it.", err=True)
