"""``datalab doctor``: what hospital IT runs when a node does not do what it should."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from datalab.errors import ExitCode
from datalab.home import Home
from federation.commands.node import home_option


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
def doctor(folder: Path, *, as_json: bool) -> None:
    """Examine a node: configuration, identity, the way to its gateway, clock, disk, audit log, sandbox.

    Each line says how it is, and what to do where it is not well. Exit code 1 if something has failed.
    """
    from federation.node.doctor import examine

    found = []
    for check in examine(Home(folder)):
        found.append(check)
        if not as_json:
            click.echo(f"{check.state:<9}{check.name:<17}{check.what}")
            if check.state != "ok" and check.remedy:
                click.echo(f"{'':<26}→ {check.remedy}")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(check) for check in found], indent=2))
    if any(check.state == "failed" for check in found):
        sys.exit(ExitCode.FAILED)
