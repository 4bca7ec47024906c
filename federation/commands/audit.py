"""``datalab audit verify``: whether audit logs are as they were written."""

from __future__ import annotations

from pathlib import Path

import click

from datalab.audit.chain import Head
from datalab.audit.log import AuditLogError
from datalab.audit.verification import Verification
from datalab.audit.verification import verify as verify_log
from datalab.errors import NotFoundError

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="NUMBER:HASH",
    help="A head that somebody else has kept: shows also what was cut off the end. With one FILE only.",
)
@click.option(
    "--against",
    type=_PATH,
    metavar="OTHER",
    help="The other side's log: every signed head of FILE that it has kept must fit. With one FILE only.",
)
@click.option("--owner", metavar="SPIFFE-ID", help="With --against: whose log FILE is, if it does not say so.")
@click.option(
    "--root",
    type=_PATH,
    metavar="PEM",
    help="With --against: the federation's root certificates; without it, certificates count as they were recorded.",
)
def verify(
    files: tuple[Path, ...], heads: tuple[str, ...], against: Path | None, owner: str | None, root: Path | None
) -> None:
    """Check that no entry of these audit logs was changed, removed, reordered or cut off.

    A log alone cannot show that its owner has written all of it anew, or cut off its end. With --against it can: node
    and lab write each other's signed heads into their logs at the start and the end of every run.
    """
    if (heads or against) and len(files) > 1:
        raise click.UsageError("--head and --against belong to one log: name one FILE with them.")
    if against is None and (owner or root):
        raise click.UsageError("--owner and --root are for --against.")
    known = [Head.parse(head) for head in heads]
    results = []
    if against is not None:
        kept = _kept(files[0], against, owner, root)
        known += kept
        results.append(verify_log(against))
        click.echo(f"{against}: has kept {len(kept)} signed heads of {files[0]}, up to its entry {max(kept).n}")
    results += [verify_log(path, known) for path in files]
    for found in results:
        click.echo(f"{found.path}: {_said(found)}")
    broken = [str(found.path) for found in results if not found.intact]
    if broken:
        raise AuditLogError(
            f"{len(broken)} of {len(results)} audit logs are not as they were written.",
            where=", ".join(broken),
            next_step="Keep them as evidence, and compare them with the heads that the other side has kept.",
        )


def _said(found: Verification) -> str:
    if found.intact:
        return f"intact, {found.head.n} {'entry' if found.head.n == 1 else 'entries'}, head {found.head}"
    more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
    return f"BROKEN, line {found.problems[0].line} {found.problems[0].what}{more}"


def _kept(log: Path, against: Path, owner: str | None, root: Path | None) -> list[Head]:
    from federation.evidence import kept_heads, owner_of

    owner = owner or owner_of(log)
    if owner is None:
        raise AuditLogError(
            "The log does not say whose it is.",
            where=str(log),
            next_step="Say so: --owner spiffe://federation/node/name",
        )
    try:
        roots = root.read_bytes() if root is not None else None
    except OSError as error:
        raise NotFoundError(f"Cannot read the root certificates: {error.strerror}.", where=str(root)) from error
    kept = kept_heads(against, log, owner, roots)
    if kept.unproven:
        click.echo(f"{against}: {kept.unproven} more heads bear no valid signature of {owner}, and prove nothing")
    if kept.behind:
        click.echo(f"{against}: {kept.behind} of these shown after a newer one, as if {owner} had held its newest back")
    if not kept.heads:
        raise AuditLogError(
            f"The other log has kept no head that {owner} has signed, so nothing could be compared.",
            where=str(against),
            next_step="Name the log of the other side of this log's runs; see also --owner and --root.",
        )
    return list(kept.heads)
