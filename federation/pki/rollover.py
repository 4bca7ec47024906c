"""Replacing the federation's certificate authority while its members stay connected.

In three steps, because a member must trust the new root before anybody shows it a certificate from there: *start* (both
roots are trusted; every member learns so when it renews), *switch* (the new authority issues), *finish* (the old root
counts no longer). A step that would leave a member behind is refused and says which.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict

from datalab.errors import BadInputError
from datalab.home import Home, write_atomically
from federation.pki.authority import Authority, create_authority
from federation.pki.certificates import fingerprint
from federation.pki.local import FORMER, ISSUING_SECRET, NEXT, issuing_folder, open_authority, open_registry


class Rollover(BaseModel):
    """How far the replacement is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started: AwareDatetime
    switched: AwareDatetime | None = None


def state(home: Home) -> Rollover | None:
    """Return how far a rollover is, or None if there is none."""
    try:
        return Rollover.model_validate_json(_file(home).read_bytes())
    except FileNotFoundError:
        return None


def start(home: Home, root_folder: Path | None = None) -> Authority:
    """Make the next root and issuing authority; from now on members that renew trust both roots.

    Args:
        home: of the lab.
        root_folder: where the new root goes; a folder named by the day in the home, if not given.

    Raises:
        BadInputError: a rollover is under way already.
    """
    if state(home) is not None:
        raise BadInputError("A rollover is under way already.", next_step="Go on with: datalab pki rollover switch")
    now = datetime.now(UTC)
    current = open_authority(home)
    made = create_authority(
        root_folder or home.folder(f"root-ca-{now:%Y%m%d}"),
        issuing_folder(home, NEXT),
        federation=current.federation,
        passphrase=home.secret(ISSUING_SECRET),
    )
    _write(home, Rollover(started=datetime.now(UTC)))
    open_registry(home).audit.append("rollover.started", root_sha256=fingerprint(made.root))
    return made


def switch(home: Home) -> Authority:
    """Have the next authority issue from now on.

    Raises:
        BadInputError: no rollover has been started, or it was switched; or members do not trust the new root yet.
    """
    at = _under_way(home)
    if at.switched is not None:
        raise BadInputError("The new authority issues already.", next_step="Go on with: datalab pki rollover finish")
    _check_renewed(home, at.started, "do not trust the new root yet")
    if not issuing_folder(home, FORMER).exists():
        issuing_folder(home).rename(issuing_folder(home, FORMER))
    if issuing_folder(home, NEXT).exists():  # a stop between the two is mended by asking again
        issuing_folder(home, NEXT).rename(issuing_folder(home))
    _write(home, at.model_copy(update={"switched": datetime.now(UTC)}))
    made = open_authority(home)
    open_registry(home).audit.append("rollover.switched", root_sha256=fingerprint(made.root))
    return made


def finish(home: Home) -> Authority:
    """Stop trusting the former root. Its issuing key stays in the home, renamed, for whoever has to look something up.

    Raises:
        BadInputError: it was not switched before, or members still have certificates of the former authority.
    """
    at = _under_way(home)
    if at.switched is None:
        raise BadInputError("The old authority still issues.", next_step="First: datalab pki rollover switch")
    _check_renewed(home, at.switched, "still have a certificate of the old authority")
    former = issuing_folder(home, FORMER)
    former.rename(former.with_name(f"{FORMER}-until-{datetime.now(UTC):%Y%m%d-%H%M%S}"))
    _file(home).unlink()
    made = open_authority(home)
    open_registry(home).audit.append("rollover.finished", root_sha256=fingerprint(made.root))
    return made


def _check_renewed(home: Home, since: datetime, what: str) -> None:
    """Refuse unless every member's newest live certificate was issued after ``since``."""
    now = datetime.now(UTC)
    behind = []
    for member in open_registry(home).members():
        live = [one for one in member.certificates if one.revoked is None and one.expires > now]
        if live and max(one.issued for one in live) < since:
            behind.append(f"{member.role} {member.name}")
    if behind:
        raise BadInputError(
            f"{len(behind)} members {what}.",
            where=", ".join(behind[:20]),
            next_step="They renew by themselves at two thirds of their certificate's life, or at once with "
            "`datalab node renew`. Revoke whoever is gone.",
        )


def _under_way(home: Home) -> Rollover:
    at = state(home)
    if at is None:
        raise BadInputError("No rollover is under way.", next_step="Begin one with: datalab pki rollover start")
    return at


def _file(home: Home) -> Path:
    return home.path / "federation" / "rollover.json"


def _write(home: Home, at: Rollover) -> None:
    write_atomically(_file(home), at.model_dump_json().encode())
