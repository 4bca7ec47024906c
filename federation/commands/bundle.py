"""``datalab node bundle``: a node for a hospital that has no package mirror."""

from __future__ import annotations

from pathlib import Path

import click

import datalab


@click.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The bundle, a tar.")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Your private key file, which signs the bundle (JWK, Ed25519; `datalab permit keygen` makes one).",
)
@click.option(
    "--source",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(datalab.__file__).parents[1],
    help="Datalab's source folder, or one that holds its wheel; requirements.lock is in it.",
)
def bundle(out: Path, key_file: Path, source: Path) -> None:
    """Make a signed offline install of a node: wheels, checksums, bill of materials, installer.

    It has every package as requirements.lock names it, for the Python and the kind of machine that this command runs
    on. Give OUT, OUT.sig and OUT.pem to the hospital, and tell it the key's fingerprint by another way.
    """
    from datalab.permits.keys import load_private_key
    from federation.release.bundle import make_bundle

    made = make_bundle(source, load_private_key(key_file), out)
    click.echo(f"{out}: Datalab {made.version}, {made.packages} packages, {made.size / 1e6:.1f} MB")
    click.echo(
        f"{out}.sig and {out}.pem belong to it. The key's fingerprint (SHA-256), to tell the hospital by telephone:"
    )
    click.echo(f"  {made.key_sha256}")
