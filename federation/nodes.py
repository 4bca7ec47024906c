"""A federation's nodes, for the lab's pages: who they are, how they are, and what an operator decides about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from datalab.home import Home
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Identity, Role
from federation.pki.local import invite, open_registry
from federation.pki.members import Invite, Member
from federation.sessions import session_infos

Health = Literal["connected", "away", "expired", "revoked"]


@dataclass(frozen=True)
class Node:
    """A node that has been enrolled.

    Attributes:
        health: whether it is connected; ``away``: it could be, and is not.
        connected: since when its stream stands.
        last_seen: when something was last heard of it, while it is connected.
        software: what it says it runs.
        runs: those that it takes part in now.
        serial: of its latest certificate.
        expires: when that ends.
    """

    name: str
    organisation: str
    country: str
    health: Health
    connected: datetime | None = None
    last_seen: datetime | None = None
    software: str = ""
    runs: tuple[str, ...] = ()
    serial: str = ""
    expires: datetime | None = None
    revoked: datetime | None = None


@dataclass(frozen=True)
class Waiting:
    """A node whose key came in with its token and waits for approval."""

    name: str
    organisation: str
    country: str
    key_sha256: str
    expires: datetime


def nodes(home: Home) -> list[Node]:
    """Return the nodes of the federation of a lab's home, by name."""
    registry = open_registry(home)
    sessions = {one.identity: one for one in session_infos(home)}
    now = datetime.now(UTC)
    return [
        _node(member, sessions.get(str(Identity(registry.federation, Role.NODE, member.name))), now)
        for member in registry.members()
        if member.role is Role.NODE
    ]


def waiting_nodes(home: Home) -> list[Waiting]:
    """Return the nodes whose key waits for approval, the one that has waited longest first."""
    return [
        Waiting(one.name, one.organisation, one.country, one.key_sha256, one.expires)
        for one in open_registry(home).waiting()
        if one.role is Role.NODE and one.key_sha256 is not None
    ]


def invite_node(home: Home, name: str, *, organisation: str, country: str) -> str:
    """Invite a node; return its enrolment token, which is a secret. The key that comes with it waits for approval.

    Raises:
        NotFoundError: the gateway does not run, or there is no authority.
        IdentityError: the name is not one of a member.
        BadInputError: organisation or country is not valid.
    """
    return invite(home, Role.NODE, name, organisation=organisation, country=country, approved=False)


def approve_node(home: Home, name: str, key_sha256: str) -> Invite:
    """Approve the key of a node that waits; NotFoundError if that key does not."""
    return open_registry(home).approve(Role.NODE, name, key_sha256)


def revoke_node(home: Home, name: str) -> None:
    """Revoke a node: its stream is cut at once, its certificates and invitations no longer count.

    Raises:
        NotFoundError: there is no such node, nor was one invited.
    """
    open_registry(home).revoke(Role.NODE, name)


def _node(member: Member, session: pb.SessionInfo | None, now: datetime) -> Node:
    latest = member.certificates[-1] if member.certificates else None
    health: Health = "away"
    if member.revoked is not None:
        health = "revoked"
    elif session is not None:
        health = "connected"
    elif latest is None or latest.expires <= now:
        health = "expired"
    return Node(
        name=member.name,
        organisation=member.organisation,
        country=member.country,
        health=health,
        connected=datetime.fromtimestamp(session.connected, UTC) if session else None,
        last_seen=datetime.fromtimestamp(session.last_seen, UTC) if session else None,
        software=session.software if session else "",
        runs=tuple(session.runs) if session else (),
        serial=latest.serial if latest else "",
        expires=latest.expires if latest else None,
        revoked=member.revoked,
    )
