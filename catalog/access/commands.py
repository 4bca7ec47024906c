"""``datalab access …``: requests and permits, for researchers, data stewards and access bodies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from catalog.access.client import AccessClient
from catalog.access.policy import proposed
from catalog.access.records import AccessRequest, ProjectDraft, RequestDraft, Terms
from catalog.access.transitions import State
from catalog.errors import ConflictError
from catalog.release.records import Release, ReleaseDecision
from catalog.release.transitions import ReleaseStep
from catalog.run_records import RunRecord
from datalab.boundary import bad_field, read_toml
from datalab.errors import IdentityError, NotFoundError
from datalab.home import write_atomically
from datalab.permits.keys import key_id, load_private_key, load_public_key
from datalab.permits.permit import sign_permit
from datalab.permits.revocation import sign_revocations, verify_revocations

_FILE = click.Path(path_type=Path, dir_okay=False)
_LAB = click.option("--lab", required=True, metavar="URL", help="Address of the lab, such as https://lab.example.eu.")
_REASON = click.option("--reason", required=True, help="What the applicant has to know.")


def _signed_in(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the lab, as the owner of an API token sees it, as its argument ``client``."""

    @_LAB
    @click.option(
        "--token-file", type=_FILE, required=True, help="File with an API token of yours, made on My account."
    )
    @functools.wraps(command)
    def called(*, lab: str, token_file: Path, **given: Any) -> None:
        try:
            token = token_file.read_text(encoding="ascii").strip()
        except OSError as error:
            raise NotFoundError(
                f"Cannot read {token_file}: {error.strerror}.", next_step="Make a token on your account's page."
            ) from error
        except UnicodeDecodeError as error:
            raise IdentityError("This file holds no API token.", where=str(token_file)) from error
        with AccessClient(lab.rstrip("/"), token) as client:
            command(client=client, **given)

    return called


@click.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="Only in this state; repeatable.",
)
@_signed_in
def list_requests(*, client: AccessClient, states: Sequence[str]) -> None:
    """List the access requests that you see, those that changed last first."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("request", "state", "project", "organisation", "purpose", "datasets"):
        table.add_column(heading, overflow="fold")
    for one in client.requests(states=[State(state) for state in states]):
        purpose, named = one.purpose or "", ", ".join(one.datasets)
        table.add_row(one.id, one.state, one.project_title, one.organisation, purpose, named)
    _console().print(table)


@click.command("show")
@click.argument("request")
@_signed_in
def show(*, client: AccessClient, request: str) -> None:
    """Show an access request as JSON, with all that was said about it."""
    click.echo(client.request(request).model_dump_json(indent=2))


@click.command("request")
@click.argument("draft", type=_FILE)
@click.option("--draft-only", is_flag=True, help="Keep it as a draft; nobody is asked yet.")
@_signed_in
def request(*, client: AccessClient, draft: Path, draft_only: bool) -> None:
    """Ask for access as the TOML file DRAFT says.

    Its fields are those of a request: project (an id, or the title of a new one), kind (data or statistic), purpose (a
    letter of EHDS Art. 53(1)), datasets, people, months, aim, why_personal, safeguards, ethics, mandate, undertaken.
    What is still missing is said field by field, and the draft is kept.
    """
    said = read_toml(draft)
    known = {one.id for one in client.projects()}
    if isinstance(title := said.get("project"), str) and title not in known:
        said["project"] = client.create_project(ProjectDraft(title=title, people=tuple(said.get("people", ())))).id
    try:
        described = RequestDraft.model_validate(said)
    except ValidationError as error:
        raise bad_field("The request", error, where=str(draft)) from error
    made = client.create_request(described)
    click.echo(f"{made.id} is kept as a draft.")
    if not draft_only:
        click.echo(f"{made.id} is {client.submit_request(made).state}.")


@click.command("comment")
@click.argument("request")
@click.argument("text")
@_signed_in
def comment(*, client: AccessClient, request: str, text: str) -> None:
    """Say TEXT about an access request to everybody who sees it."""
    client.comment(request, text)
    click.echo("Said.")


@click.command("return")
@click.argument("request")
@_REASON
@_signed_in
def send_back(*, client: AccessClient, request: str, reason: str) -> None:
    """Return an access request to its applicant, who may change it and hand it in again."""
    _done(client.return_request(client.request(request), reason))


@click.command("reject")
@click.argument("request")
@_REASON
@_signed_in
def reject(*, client: AccessClient, request: str, reason: str) -> None:
    """Reject an access request for good."""
    _done(client.reject_request(client.request(request), reason))


@click.command("withdraw")
@click.argument("request")
@_signed_in
def withdraw(*, client: AccessClient, request: str) -> None:
    """Take an access request of yours back for good."""
    _done(client.withdraw_request(client.request(request)))


@click.command("approve")
@click.argument("request")
@click.option("--key", type=_FILE, required=True, help="The private key file that signs permits; it stays here.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day of the permit, if not as long as asked.")
@click.option("--condition", "conditions", multiple=True, help="What the data user must keep to; repeatable.")
@click.option("--app", "apps", multiple=True, help="SHA-256 of an app that may be used, and no other; repeatable.")
@click.option("--release/--no-release", default=None, help="Whether results leave the lab only once you release them.")
@_signed_in
def approve(
    *,
    client: AccessClient,
    request: str,
    key: Path,
    until: datetime | None,
    conditions: Sequence[str],
    apps: Sequence[str],
    release: bool | None,
) -> None:
    """Approve an access request, sign its permit on this machine, and hand the permit in.

    Where two people have to approve, the first one's approval waits for the second, who signs. Without options, the
    second approves what the first proposed.
    """
    signer = load_private_key(key)
    found = client.request(request)
    if found.state is State.SUBMITTED:
        terms = _terms(found, until.date() if until else None, conditions, apps, release=release)
        found = client.approve_request(found, terms)
        click.echo(f"{found.id} is approved by {', '.join(one.by for one in found.approvals)}.")
    if found.claims is None:
        click.echo("A second person has to approve it on the same terms.")
        return
    permit = client.grant(found, sign_permit(found.claims, signer))
    click.echo(f"{permit.id} is granted until {permit.claims.expires:%Y-%m-%d %H:%M} UTC.")


@click.command("revoke")
@click.argument("permit")
@click.option("--key", type=_FILE, required=True, help="The private key file that signs permits; it stays here.")
@_signed_in
def revoke(*, client: AccessClient, permit: str, key: Path) -> None:
    """Revoke a permit, and publish a new signed list of revoked permits.

    From now on the lab starts no run under it, and each node refuses it once it has the new list.
    """
    signer = load_private_key(key)
    revoked = client.revoke_permit(permit)
    click.echo(f"{revoked.id} is revoked.")
    _publish(client, signer)


@click.command("release")
@click.argument("run", required=False)
@click.option("--refuse", "step", flag_value="refuse", help="Do not release; the people of the run can ask again.")
@click.option("--recall", "step", flag_value="recall", help="Take a release back.")
@click.option("--yes", "step", flag_value="release", help="Release.")
@click.option("--file", "files", multiple=True, help="Release this file alone; repeatable.")
@click.option("--reason", default="", help="Why; needed but for a release in which every check holds.")
@_signed_in
def release(*, client: AccessClient, run: str | None, step: str | None, files: Sequence[str], reason: str) -> None:
    """Decide whether what RUN has left behind may leave the lab; without RUN, list the runs that wait.

    Without --yes, --refuse or --recall it shows what the checks found, and decides nothing.
    """
    if run is None:
        for one in client.waiting_releases():
            click.echo(f"{one.id:<34} {len(one.artifacts)} files, asked for by {_release(one).asked_by}")
        return
    found = client.run(run)
    if step is None:
        _show_checks(_release(found))
        return
    decision = ReleaseDecision(step=ReleaseStep(step), text=reason, files=tuple(files), revision=found.revision)
    click.echo(f"What {run} left is {_release(client.decide_release(run, decision)).state}.")


def _release(run: RunRecord) -> Release:
    if run.release is None:
        raise ConflictError("What this run left needs no release.", where=f"run {run.id}", next_step="Nothing to do.")
    return run.release


def _show_checks(asked: Release) -> None:
    click.echo(f"{asked.state}: {asked.text or 'nobody has asked for the release yet'}")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("", "check", "of", "found", "held against"):
        table.add_column(heading, overflow="fold")
    for one in asked.checks:
        limit = "" if one.limit is None else f"{one.limit:,}"
        table.add_row("fine" if one.holds else "LOOK", one.name, one.subject or "all", f"{one.found or 0:,}", limit)
    _console().print(table)


@click.command("sign-revocations")
@click.option(
    "--key",
    "keys",
    type=_FILE,
    required=True,
    multiple=True,
    help="The private key file that signs permits; it stays here. Repeatable: while a key is replaced, name both.",
)
@_signed_in
def sign_list(*, client: AccessClient, keys: Sequence[Path]) -> None:
    """Sign and publish the list of your revoked permits anew, before nodes take it for too old."""
    for key in [load_private_key(one) for one in keys]:
        _publish(client, key)


@click.command("fetch-revocations")
@_LAB
@click.option(
    "--key",
    "keys",
    type=_FILE,
    required=True,
    multiple=True,
    help="The public key file of whoever signs the permits; repeatable, for several bodies.",
)
@click.option("--out", type=_FILE, required=True, help="Where the lists go, as node.toml names it.")
@click.option("--days", type=click.IntRange(1), default=7, show_default=True, help="How old each may be.")
def fetch(*, lab: str, keys: Sequence[Path], out: Path, days: int) -> None:
    """Fetch the latest list of revoked permits by each key for a node, and put them in place if all are right."""
    tokens = []
    with AccessClient(lab.rstrip("/"), "nobody") as client:  # the lists are for everybody
        for public in [load_public_key(one) for one in keys]:
            token = client.revocations(key_id(public))
            found = verify_revocations(token, [public], now=datetime.now(UTC), max_age=timedelta(days=days))
            tokens.append(f"{token}\n")
            click.echo(f"{len(found.ids)} revoked as of {found.issued:%Y-%m-%d %H:%M} UTC, by {key_id(public)[:16]}…")
    write_atomically(out, "".join(tokens).encode(), mode=0o644)
    click.echo(f"Written to {out}")


def _publish(client: AccessClient, signer: Any) -> None:
    published = client.publish_revoked(sign_revocations(client.revoked(), signer, issued=datetime.now(UTC)))
    click.echo(f"The list of {len(published.ids)} revoked permits is published.")


def _terms(
    found: AccessRequest, until: date | None, conditions: Sequence[str], apps: Sequence[str], *, release: bool | None
) -> Terms:
    start = proposed(found, datetime.now(UTC).date())
    said: dict[str, object] = {"until": until or start.until}
    said["release"] = start.release if release is None else release
    said |= {"conditions": conditions or start.conditions, "apps": apps or start.apps}
    try:
        return Terms.model_validate(said)
    except ValidationError as error:
        raise bad_field("The approval", error, where="the command line") from error


def _done(request: AccessRequest) -> None:
    click.echo(f"{request.id} is {request.state}.")


def _console() -> Console:
    return Console(markup=False, emoji=False, highlight=False)
