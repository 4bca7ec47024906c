"""``datalab node enrol`` and ``datalab node start``: what hospital IT runs on site."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import click

from datalab.home import Home
from datalab.service import log_json_lines

home_option = click.option(
    "--home",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="DATALAB_NODE_HOME",
    help="The node's own folder: node.toml, contracts, raw files, identity, audit log.",
)


@click.command()
@home_option
@click.option(
    "--token-file",
    type=click.File("r"),
    default="-",
    help="The one-time token from the federation's operator; standard input if this is left out.",
)
def enrol(folder: Path, token_file: IO[str]) -> None:
    """Make this node's key, here, and have the federation certify it.

    The token works once. The private key is made in the node's folder and never leaves it; what goes out is a signing
    request. The token carries the federation's certificate authority, so that no one else can answer for it.
    """
    from federation.enrolment.client import enrol as ask

    identity = ask(token_file.read(), Home(folder).folder("identity"))
    click.echo(f"Enrolled as {identity}. Start the node with: datalab node start --home {folder}")


@click.command()
@home_option
def start(folder: Path) -> None:
    """Run this node in the foreground, connected outwards to its gateway, until Ctrl-C or SIGTERM.

    Its datasets are curated first, by their contracts; then it announces schema and permitted counts, and waits for
    runs. What it allows is in node.toml and nowhere else; what it decided is in audit.jsonl.
    """
    from federation.node.agent import main

    if not sys.stderr.isatty():
        log_json_lines()
    main(Home(folder))
