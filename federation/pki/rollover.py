"""Replacing the federation's certificate authority while its members stay connected.

In three steps, because a member must trust the new root before anybody shows it a certificate from there: *start* (both
roots are trusted; every member learns so when it renews), *switch* (the new authority issues), *finish* (the old root
counts no longer). Each step takes effect by the replacement of one file (``federation.pki.standing``); one that would
leave a member behind is refused and says which.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from datalab.errors import BadInputError
from datalab.home import Home
from federation.pki.authority import Authority, create_authority
from federation.pki.certificates import fingerprint
from federation.pki.identity import Identity, Role
from federation.pki.local import ISSUING_SECRET, open_authority, open_registry
from federation.pki.standing import Standing, authority_folder, read_standing, write_standing


def start(home: Home, root_folder: Path | None = None) -> Authority:
    """Make the next root and issuing authority; from now on members that renew trust both roots.

    Args:
        home: of the lab.
        root_folder: where the new root goes; a folder named by the day in the home, if not given.

    Raises:
        BadInputError: a rollover is under way already.
    """
    at = read_standing(home)
    if at.started is not None:
        step = "finish" if at.switched else "switch"
        raise BadInputError("A rollover is under way already.", next_step=f"Go on with: datalab pki rollover {step}")
    mark = f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(3)}"
    following = f"issuing-ca-{mark}"
    made = create_authority(
        root_folder or home.folder(f"root-ca-{mark}"),
        authority_folder(home, following),
        federation=open_authority(home).federation,
        passphrase=home.secret(ISSUING_SECRET),
    )
    write_standing(home, at.model_copy(update={"other": following, "started": datetime.now(UTC)}))
    open_registry(home).audit.append("rollover.started", root_sha256=fingerprint(made.root))
    return made


def switch(home: Home, connected: Collection[str]) -> Authority:
    """Have the next authority issue from now on.

    Args:
        home: of the lab.
        connected: SPIFFE ids of who is connected to the gateway; a runner that is not has ended.

    Raises:
        BadInputError: no rollover has been started, or it was switched; or members do not trust the new root yet.
    """
    at = read_standing(home)
    if at.started is None or at.other is None:
        raise _none_under_way()
    if at.switched is not None:
        raise BadInputError("The new authority issues already.", next_step="Go on with: datalab pki rollover finish")
    _check_renewed(home, at.started, connected, "do not trust the new root yet")
    write_standing(
        home,
        Standing(issuing=at.other, other=at.issuing, started=at.started, switched=datetime.now(UTC)),
    )
    made = open_authority(home)
    open_registry(home).audit.append("rollover.switched", root_sha256=fingerprint(made.root))
    return made


def finish(home: Home, connected: Collection[str]) -> Authority:
    """Stop trusting the former root. Its folder stays in the home, for whoever has to look something up.

    Args:
        home: of the lab.
        connected: as for ``switch``.

    Raises:
        BadInputError: it was not switched before, or members still have certificates of the former authority.
    """
    at = read_standing(home)
    if at.started is None:
        raise _none_under_way()
    if at.switched is None:
        raise BadInputError("The old authority still issues.", next_step="First: datalab pki rollover switch")
    _check_renewed(home, at.switched, connected, "still have a certificate of the old authority")
    write_standing(home, Standing(issuing=at.issuing))
    made = open_authority(home)
    open_registry(home).audit.append("rollover.finished", root_sha256=fingerprint(made.root))
    return made


def _check_renewed(home: Home, since: datetime, connected: Collection[str], what: str) -> None:
    """Refuse unless the newest live certificate of every node, and of every runner at work, was issued after ``since``.

    Gateway and lab are not asked: they read the authority in this home at each use.
    """
    now = datetime.now(UTC)
    registry = open_registry(home)
    behind = []
    for member in registry.members():
        identity = str(Identity(registry.federation, member.role, member.name))
        if member.role is not Role.NODE and (member.role is not Role.RUNNER or identity not in connected):
            continue
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


def _none_under_way() -> BadInputError:
    return BadInputError("No rollover is under way.", next_step="Begin one with: datalab pki rollover start")
