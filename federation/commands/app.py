"""``datalab app show`` and ``datalab app sign``: what an app is, its digest, and a signature that nodes may trust."""

from __future__ import annotations

from pathlib import Path

import click

from datalab.errors import NotWritableError
from datalab.home import write_atomically
from datalab.permits.keys import load_private_key
from federation.app_signature import sign_app
from federation.bundle import digest, pack, read_app


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def show(folder: Path) -> None:
    """Print what the Flower app in FOLDER is, and its digest.

    A node runs an app only if its operator has approved this digest, with `datalab node approve` or under
    [[policy.apps]] in node.toml, or trusts its signer. The same files always give the same digest, and any change gives
    another one.
    """
    app = read_app(folder)
    click.echo(f"name        {app.name} {app.version}")
    click.echo(f"ClientApp   {app.client_app}")
    click.echo(f"ServerApp   {app.server_app}")
    for key, value in sorted(app.config.items()):
        click.echo(f"config      {key} = {value!r}")
    click.echo(f"sha256      {digest(pack(folder))}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    required=True,
    help="The signer's private key file (a pair is made with `datalab permit keygen`).",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where it goes; without it, to standard output.")
def sign(folder: Path, key_file: Path, out: Path | None) -> None:
    """Sign the Flower app in FOLDER, for nodes that have the key's public half under [[policy.signers]] in node.toml.

    What is signed is the app's digest: any change to its files needs another signature. Hand it to
    `datalab run submit --app-signature`.
    """
    sha256 = digest(pack(folder))
    signature = sign_app(sha256, load_private_key(key_file))
    if out is None:
        click.echo(signature)
        return
    try:
        write_atomically(out, signature.encode("ascii") + b"\n", mode=0o644)
    except OSError as error:
        raise NotWritableError(
            f"Cannot write the signature to {out}: {error.strerror}.", next_step="Name another file."
        ) from error
    click.echo(f"Signature of the app {sha256} written to {out}")
