"""``datalab up``: the parts of a lab on one machine, each its own process, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import click

from datalab.home import Home
from datalab.service import Service, check_port, installed_services
from datalab.settings import load_settings
from datalab.supervisor import Supervisor

CHECK_INTERVAL = 0.5
"""Seconds between two looks at whether every part still runs."""


def start_lab(supervisor: Supervisor, home: Home) -> list[Service]:
    """Start every installed service, each as soon as what it requires is ready, and wait for all of them.

    Raises:
        DatalabError: a service did not start; the caller's ``supervisor`` stops the others.
    """
    home.check_writable()
    settings = load_settings(home)
    services = installed_services()
    if not any((home.path / "run" / f"{service.name}.json").exists() for service in services):
        for part, port in settings.ports:
            check_port(part.replace("_", " "), settings.bind, port)
    for service in services:
        for required in service.requires:
            supervisor.wait_ready(required, home)
        supervisor.start(service.name, service.module, home, wait=False)
    for service in services:
        supervisor.wait_ready(service.name, home)
    return services


@click.command()
@click.option(
    "--home",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="DATALAB_HOME",
    help="Where the lab keeps its files; made if it is missing.",
)
def up(folder: Path) -> None:
    """Run a lab on this machine: object store, lab server and gateway, on loopback.

    It runs until Ctrl-C, and stops everything it started. Ports are set under [ports] in datalab.toml in the
    home folder, or as DATALAB_PORTS__LAB and so on.
    """
    home = Home(folder.absolute())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Supervisor() as supervisor:
        services = start_lab(supervisor, home)
        _print_addresses(home, services)
        while True:
            supervisor.check()
            time.sleep(CHECK_INTERVAL)


def _print_addresses(home: Home, services: list[Service]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "listens at", "process", box=None)
    for service in services:
        announced = home.address(service.name)
        process = str(announced.pop("pid"))
        table.add_row(service.name, ", ".join(f"{name} {at}" for name, at in announced.items()), process)
    console = Console()
    console.print(table)
    if any(service.name == "lab" for service in services):
        console.print(f"Open {home.address('lab')['url']} in a browser. For an account:", soft_wrap=True)
        command = f"datalab account create NAME --role operator --organisation lab --home {home.path}"
        console.print(f"  {command}", soft_wrap=True, highlight=False)
    console.print(f"Logs are in {home.folder('log')}. Ctrl-C stops everything.", soft_wrap=True)
