"""``datalab backup``, ``datalab restore`` and ``datalab downgrade``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.client import lab_client
from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from datalab.permits.keys import load_public_key
from datalab.settings import load_settings
from datalab.storage.store import connect

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

_OUT = click.Path(path_type=Path, file_okay=False)


@click.command("backup")
@click.argument("out", type=_OUT)
@click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The home folder of a lab that is running."
)
def backup(*, out: Path, home: Path) -> None:
    """Back up a lab while it runs: records, lake metadata, objects and keys, consistent with one another, into OUT.

    Into a folder with an earlier backup only new objects are copied, and what is gone from the lab goes from there too:
    people who were erased, above all, whom it would hold for as long as it is kept.
    The backup holds personal data and keys: guard it like the lab itself.
    """
    from catalog.backup import fetch
    from catalog.evidence import public_backup_key

    with lab_client(Home(home), "operator") as client:
        snapshot = client.take_snapshot(str(out.resolve())[:300])
    manifest = fetch(Home(home), connect(Home(home)), snapshot, out)
    size = sum(one.bytes for one in manifest.files) + sum(one.bytes for one in manifest.objects)
    stored = len(manifest.objects)
    click.echo(f"Backed up {stored} objects and the catalog up to event {manifest.events}, {size:,} bytes.")
    click.echo(f"It is signed; a restore asks for {public_backup_key(Home(home))}: keep a copy elsewhere.")


@click.command("restore")
@click.argument("backup_folder", metavar="BACKUP", type=_OUT)
@click.option("--home", type=click.Path(path_type=Path), required=True, help="A home folder without a catalog.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The public key of the lab that made it; [backup] key in datalab.toml names it, too.",
)
@click.option(
    "--unsigned",
    is_flag=True,
    help="Take a backup of an earlier release, which signed none: whoever could write to it may have changed anything.",
)
def restore(*, backup_folder: Path, home: Path, key: Path | None, unsigned: bool) -> None:
    """Put a BACKUP into a home whose lab is not running; whoever was erased since it was taken is erased again.

    BACKUP is a folder that `datalab backup` wrote, or the one that [backup] in datalab.toml names; changes that were
    shipped there since its last whole backup are made again, and whoever was erased is erased again. For a backup that
    `datalab backup` wrote, keep the folder erasures of the lost home, or a newer copy of it, in the new one.
    Certificates are not part of a backup: nodes enrol anew.

    The backup must be signed by the lab that made it, whose public key lies in secrets/backups in its home: keep a
    copy of it elsewhere. Where anything was changed, left out or put into another order since, nothing is restored. The
    private half is in no backup: the restored lab signs its own with another key, of which a copy is to be kept, too.
    """
    from catalog.backup import keep_erasures, open_backup, place, restored
    from catalog.lab import open_lab
    from catalog.shipping import newest
    from datalab.storage.service import SERVICE
    from datalab.supervisor import Supervisor

    into = Home(home)
    into.check_writable()
    trusted = None if unsigned else _trusted_key(into, key)
    whole = open_backup(newest(backup_folder), trusted)
    with ExitStack() as stack:
        try:
            into.address(SERVICE.name)
        except NotFoundError:
            stack.enter_context(Supervisor()).start(SERVICE.name, SERVICE.module, into)
        objects = connect(into)
        keep_erasures(backup_folder, into, whole)
        place(whole, into, objects)
        with open_lab(into, objects) as lab:
            lab.landing.lock_again(lab.store)
            done = restored(lab.store, len(lab.eraser.every()), len(whole.manifest.objects))
    click.echo(
        f"Restored {done.datasets} datasets, {done.versions} versions and {done.objects} objects; "
        f"{done.erasures} erasures hold."
    )
    if not done.erasures:
        click.echo(
            "No record of an erasure was at hand: if anybody was erased since the backup, they are back. Then restore "
            f"anew, with the lost home's folder erasures in {into.path} first."
        )
    broken = done.audit.broken_at
    click.echo(f"The audit chain has {done.audit.events} events and is {'whole' if broken is None else 'BROKEN'}.")


def _trusted_key(home: Home, key: Path | None) -> OKPKey:
    """Return the key that must have signed a backup: the one that was given, or that the settings name."""
    path = key or load_settings(home).backup.key
    if path is None:
        raise BadInputError(
            "It is not said who must have signed the backup.",
            next_step="Give --key FILE, the public key of the lab that made it; for a backup of an earlier release, "
            "which is not signed, --unsigned.",
        )
    return load_public_key(path)


@click.command("downgrade")
@click.option(
    "--to", "number", type=click.IntRange(1), required=True, help="The schema that the earlier release knows."
)
@click.option("--home", type=click.Path(path_type=Path), required=True, help="The home of a lab that is not running.")
def downgrade(*, number: int, home: Path) -> None:
    """Take a lab's catalog back to an earlier schema, so that an earlier release can open it.

    Run it with the release that wrote the catalog; the earlier release names the schema when it refuses to open it.
    Where the earlier schema has no place for something, nothing is changed: restore a backup of that release then.
    """
    from catalog.migrations import downgrade as go_back
    from catalog.store import open_file

    path = Home(home).path / "catalog" / "records.duckdb"
    if not path.exists():
        raise NotFoundError("There is no catalog in this home.", where=str(path))
    connection = open_file(path)
    try:
        for one in go_back(connection, number):
            click.echo(f"Schema {one.number} is undone: {one.what}.")
    finally:
        connection.close()
