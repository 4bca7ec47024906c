"""``datalab node approve``: at a node, an app that may run there; at a lab, the key of a member that enrols."""

from __future__ import annotations

from pathlib import Path

import click

from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from federation.commands.operator import approve_member, role_option
from federation.pki.identity import Role
from federation.pki.standing import authority_folder, read_standing


@click.command()
@click.argument("subject", metavar="APP|NAME")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The node's home, to approve an app; the lab's, to approve a member's key.",
)
@click.option("--yes", is_flag=True, help="At a node: approve without asking, what was shown.")
@role_option
@click.option("--key", metavar="SHA256", help="At a lab: the fingerprint that the member has told you.")
def approve(subject: str, home: Path, role: str, key: str | None, *, yes: bool) -> None:
    """Approve an app for this node, or, in a lab's home, the key of a new member.

    At a node, APP is an app's folder or bundle. Its files, its digest and every change since the version that was
    approved last are shown first. Once approved it counts like one under [[policy.apps]] in node.toml; to limit what
    it may do, write it there. Take an approval back by removing its folder below `approvals` in the node's home.

    At a lab, NAME is a member whose key came in with its token. Compare the key's fingerprint with the one that
    `datalab node enrol` shows over there: whoever intercepted the token has another key.
    """
    is_node, is_lab = (
        (home / "node.toml").exists(),
        authority_folder(Home(home), read_standing(Home(home)).issuing).exists(),
    )
    if is_node and is_lab:
        raise BadInputError(
            "This folder is the home of a node and of a lab at once.",
            where=str(home),
            next_step="Give each a home of its own.",
        )
    if is_node:
        if key is not None or role != Role.NODE.value:
            raise click.UsageError("--key and --role are for approving a member, in the lab's home.")
        _approve_app(Home(home), Path(subject), yes=yes)
    elif is_lab:
        if yes:
            raise click.UsageError("--yes is for approving an app, in a node's home. A member is approved with --key.")
        approve_member(Home(home), Role(role), subject, key)
    else:
        raise NotFoundError(
            "This folder is neither the home of a node (there is no node.toml) nor of a lab (there is no authority).",
            where=str(home),
            next_step="Name the node's home with --home to approve an app, or the lab's to approve a member.",
        )


def _approve_app(home: Home, source: Path, *, yes: bool) -> None:
    from federation.node.approvals import Candidate, last_approved, printable
    from federation.node.approvals import approve as record_approval
    from federation.node.locked import changed
    from federation.scan import scan

    candidate = Candidate(source)
    app, before = candidate.app, last_approved(home.path, candidate.app.name)
    click.echo(printable(f"{app.name} {app.version}"))
    click.echo(f"sha256 {candidate.sha256}")
    for name, data in candidate.files.items():
        click.echo(printable(f"  {len(data):>9}  {name}"))
    for head, found in scan(candidate.files).lines():
        click.echo(printable(f"scan: {head:<27} {found}"))
    missing = [name for name, version in candidate.packages.items() if not version]
    click.echo(f"It is approved with {len(candidate.packages)} packages, in the versions that are installed here.")
    if missing:
        click.echo(printable(f"Not installed here: {', '.join(missing)}"))
    for line in changed(before[0].packages, candidate.packages) if before and before[0].packages else ():
        click.echo(printable(f"package: {line}"))
    if before is None:
        click.echo("No version of this app was approved here before; this is all of it:")
    else:
        click.echo(printable(f"Changes since {before[0].version}, approved {before[0].approved:%Y-%m-%d %H:%M} UTC:"))
    for line in candidate.changes(before[1] if before else {}):
        click.echo(line)
    if before is not None and before[0].sha256 == candidate.sha256:
        click.echo("None: this very version was approved.")
    if not yes:
        click.confirm("Approve this app, to run on this node's data?", abort=True)
    record_approval(home, candidate)
    click.echo(f"Approved. It may run from now on: {candidate.sha256}")
