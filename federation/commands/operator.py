"""The commands of a federation's operator: its authority, its members.

They work on the register in the lab's home; a running gateway reads it again by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from datalab.errors import NotWritableError
from datalab.home import Home, write_atomically
from federation.pki.certificates import fingerprint
from federation.pki.identity import Identity, Role
from federation.pki.local import create_federation, open_authority, open_registry
from federation.pki.local import invite as make_token
from federation.pki.members import Member

_PATH = click.Path(path_type=Path)
_HOME = click.option("--home", type=_PATH, required=True, help="The lab's home.")
role_option = click.option(
    "--role",
    type=click.Choice([Role.NODE.value, Role.RUNNER.value]),
    default=Role.NODE.value,
    show_default=True,
    help="What the member does.",
)


@click.command()
@_HOME
@click.option("--root", type=_PATH, metavar="FOLDER", help="Where the root goes; root-ca in the home by default.")
def init(home: Path, root: Path | None) -> None:
    """Make the federation's certificate authority: a root to put away, and an issuing authority that works."""
    place = Home(home)
    place.check_writable()
    authority = create_federation(place, root)
    click.echo(f"Federation {authority.federation}")
    click.echo(f"Root certificate, SHA-256: {fingerprint(authority.root)}")
    click.echo(f"The root's key is in {root or place.path / 'root-ca'}: move this folder to a safe place offline.")


@click.command()
@click.argument("name")
@_HOME
@click.option("--organisation", required=True, help="Who runs it.")
@click.option("--country", required=True, metavar="CC", help="Where: two capital letters (ISO 3166-1).")
@role_option
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="How long the token works.")
@click.option("--pre-approved", is_flag=True, help="Certify whatever key comes with the token, without asking again.")
@click.option("--out", type=_PATH, help="File for the token; without it, to standard output.")
def invite(
    name: str,
    home: Path,
    organisation: str,
    country: str,
    role: str,
    days: int,
    *,
    pre_approved: bool,
    out: Path | None,
) -> None:
    """Invite the member NAME: makes a token that works once. Give it to nobody else.

    The key that comes in with it waits until `datalab node approve NAME` has approved it.
    """
    place = Home(home)
    token = make_token(
        place,
        Role(role),
        name,
        organisation=organisation,
        country=country,
        approved=pre_approved,
        lifetime=timedelta(days=days),
    )
    if out is None:
        click.echo(token)
    else:
        try:
            write_atomically(out, token.encode() + b"\n")
        except OSError as error:
            raise NotWritableError(
                f"Cannot write the token to {out}: {error.strerror}.", next_step="Name another file, and invite again."
            ) from error
        click.echo(f"Token written to {out}", err=True)
    click.echo(f"It pins the authority with the SHA-256 {fingerprint(open_authority(place).root)}", err=True)


def approve_member(home: Home, role: Role, name: str, key: str | None) -> None:
    """Approve the key that came in with the token of a member; ask for its fingerprint where ``key`` is None."""
    registry = open_registry(home)
    waiting = [one for one in registry.waiting() if (one.role, one.name) == (role, name)]
    if key is None:
        for one in waiting:
            click.echo(f"{one.role} {one.name} of {one.organisation} ({one.country}) waits with the key")
            click.echo(f"  {one.key_sha256}")
        key = click.prompt("Fingerprint that the member has told you") if waiting else ""
    invite = registry.approve(role, name, key.strip().lower())
    click.echo(f"Approved the {invite.role} {invite.name} of {invite.organisation}.")


@click.command("list")
@_HOME
@click.option("--all", "everyone", is_flag=True, help="Also gateways and runners, not only nodes.")
def list_nodes(home: Path, *, everyone: bool) -> None:
    """List the federation's members: certificate, days left, who is connected, and whose key waits for approval."""
    from rich.console import Console
    from rich.table import Table

    from federation.sessions import sessions

    place = Home(home)
    registry = open_registry(place)
    connected = sessions(place)
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("Name", no_wrap=True, overflow="fold")
    for heading in ("Organisation", "Country", "Role", "Certificate", "Days left", "State"):
        table.add_column(heading, overflow="fold")
    for member in registry.members():
        if everyone or member.role is Role.NODE:
            since = connected.get(str(Identity(registry.federation, member.role, member.name)))
            table.add_row(*_row(member, datetime.now(UTC), since))
    for one in registry.waiting():
        table.add_row(one.name, one.organisation, one.country, one.role.value, "", "", "waits for approval")
    Console(markup=False, highlight=False).print(table)
    for one in registry.waiting():
        click.echo(f"The key of {one.name} that waits for approval:\n  {one.key_sha256}")


@click.command()
@_HOME
@click.argument("step", type=click.Choice(["start", "switch", "finish"]))
@click.option("--root", type=_PATH, metavar="FOLDER", help="With start: where the new root goes.")
def rollover(home: Path, step: str, root: Path | None) -> None:
    """Replace the federation's certificate authority, in three steps, while its members stay connected.

    start: a new root is made, and members that renew trust it as well. switch: the new authority issues. finish: the
    old root counts no longer. A step that would leave a member behind is refused, and says which.
    """
    from federation.pki import rollover as steps
    from federation.sessions import sessions

    place = Home(home)
    match step:
        case "start":
            made = steps.start(place, root)
        case "switch":
            made = steps.switch(place, sessions(place))
        case _:
            made = steps.finish(place, sessions(place))
    what = {"start": "is trusted from now on", "switch": "issues from now on", "finish": "is the only one"}[step]
    click.echo(f"The root with the SHA-256 {fingerprint(made.root)} {what}.")


@click.command()
@click.argument("name")
@_HOME
@role_option
def revoke(name: str, home: Path, role: str) -> None:
    """Revoke the member NAME: its streams are cut, its certificates and open invitations no longer count."""
    member = open_registry(Home(home)).revoke(Role(role), name)
    click.echo(f"Revoked the {member.role} {member.name} of {member.organisation}.")


def _row(member: Member, now: datetime, connected: float | None) -> tuple[str, ...]:
    latest = member.certificates[-1] if member.certificates else None
    if member.revoked:
        state = f"revoked {member.revoked:%Y-%m-%d %H:%M} UTC"
    else:
        state = "admitted" if latest and latest.expires > now else "expired"
        if connected is not None:
            state = f"connected since {datetime.fromtimestamp(connected, UTC):%Y-%m-%d %H:%M} UTC"
    serial = f"{latest.serial[:8]}…" if latest else ""
    days = f"{(latest.expires - now).total_seconds() / 86400:.1f}" if latest else ""
    return (member.name, member.organisation, member.country, member.role.value, serial, days, state)
