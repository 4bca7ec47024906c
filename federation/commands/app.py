"""``datalab app show``: what an app is, and the digest by which a node approves it."""

from __future__ import annotations

from pathlib import Path

import click

from federation.bundle import digest, pack, read_app


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def show(folder: Path) -> None:
    """Print what the Flower app in FOLDER is, and its digest.

    A node runs an app only if its operator has put this digest under [[policy.apps]] in node.toml. Read the files
    first: the same files always give the same digest, and any change gives another one.
    """
    app = read_app(folder)
    click.echo(f"name        {app.name} {app.version}")
    click.echo(f"ClientApp   {app.client_app}")
    click.echo(f"ServerApp   {app.server_app}")
    for key, value in sorted(app.config.items()):
        click.echo(f"config      {key} = {value!r}")
    click.echo(f"sha256      {digest(pack(folder))}")
