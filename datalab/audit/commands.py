"""The commands ``datalab audit …``."""

from __future__ import annotations

from pathlib import Path

import click

from datalab.audit.chain import Head
from datalab.audit.log import AuditLogError
from datalab.audit.verification import verify as verify_log


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="NUMBER:HASH",
    help="A head that somebody else has kept: shows also what was cut off the end. With one FILE only.",
)
def verify(files: tuple[Path, ...], heads: tuple[str, ...]) -> None:
    """Check that no entry of these audit logs was changed, removed, reordered or (with --head) cut off."""
    if heads and len(files) > 1:
        raise click.UsageError("--head belongs to one log: name one FILE with it.")
    known = [Head.parse(head) for head in heads]
    broken = []
    for path in files:
        found = verify_log(path, known)
        if found.intact:
            click.echo(
                f"{path}: intact, {found.head.n} {'entry' if found.head.n == 1 else 'entries'}, head {found.head}"
            )
            continue
        broken.append(path)
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        click.echo(f"{path}: BROKEN, line {found.problems[0].line} {found.problems[0].what}{more}")
    if broken:
        raise AuditLogError(
            f"{len(broken)} of {len(files)} audit logs are not as they were written.",
            where=", ".join(map(str, broken)),
            next_step="Keep them as evidence, and compare them with the heads that the other side has kept.",
        )
