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
    request. The token carries the federation's certificate authority, so that no one else can answer for it. Where the
    operator wants to approve the key first, its fingerprint is shown, and this command waits.
    """
    from federation.enrolment.client import enrol as ask
    from federation.node.config import load_config, load_proxy

    def say(key_sha256: str) -> None:
        click.echo("Waiting for the operator's approval. Tell them, by phone, the fingerprint of this node's key:")
        click.echo(f"  {key_sha256}")

    home = Home(folder)
    proxy = load_proxy(folder, load_config(folder).gateway) if (folder / "node.toml").exists() else None
    identity = ask(token_file.read(), home.folder("identity"), waiting=say, proxy=proxy)
    click.echo(f"Enrolled as {identity}. Start the node with: datalab node start --home {folder}")


@click.command()
@home_option
@click.option("--resume", is_flag=True, help="Take back `datalab node stop --now`, which keeps a node from starting.")
def start(folder: Path, *, resume: bool) -> None:
    """Run this node in the foreground, connected outwards to its gateway, until Ctrl-C or SIGTERM.

    Its datasets are curated first, by their contracts; then it announces schema and permitted counts, and waits for
    runs. What it allows is in node.toml, with the apps of `datalab node approve`; what it decided is in audit.jsonl.
    """
    from federation.node.agent import main
    from federation.node.control import release

    if resume:
        release(Home(folder))
    if not sys.stderr.isatty():
        log_json_lines()
    main(Home(folder))


@click.command()
@home_option
@click.option(
    "--now", is_flag=True, help="Kill the agent and all its workers at once, and keep the node from starting."
)
def stop(folder: Path, *, now: bool) -> None:
    """Stop this node's agent. It takes nothing new, ends the tasks under way, and leaves.

    With --now it is the kill switch: agent and workers are killed at once, whether they answer or not, and the node
    does not start again until `datalab node start --resume`. It needs nobody else: not the gateway, not the lab.
    """
    from federation.node.control import stop as stop_gently
    from federation.node.control import stop_now

    home = Home(folder)
    if now:
        killed = stop_now(home)
        click.echo(f"Killed {killed} processes. The node stays down until: datalab node start --home {folder} --resume")
    else:
        stop_gently(home)
        click.echo("The agent has stopped.")


@click.command()
@home_option
def release(folder: Path) -> None:
    """Take back `datalab node stop --now`, so that the node may be started again, by whatever starts it here."""
    from federation.node.control import release as take_back

    take_back(Home(folder))
    click.echo("The node may be started again.")


@click.command()
@home_option
def renew(folder: Path) -> None:
    """Renew this node's certificate now, with a new key. The agent does so by itself at two thirds of its life."""
    from federation.node.control import renew_now

    renew_now(Home(folder))
    click.echo("The certificate has been renewed.")


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def status(folder: Path, *, as_json: bool) -> None:
    """Say how this node is: connected or why not, its certificate, its clock, its runs; also after it has ended."""
    from federation.node.status import describe, read_status

    found = read_status(Home(folder))
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    for name, value in describe(found):
        click.echo(f"{name:<24}{value}")
