"""What the register of a federation says of its members and of those invited."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from federation.pki.identity import Role

Organisation = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2; EU where it is the federation's own."""


class Invite(BaseModel):
    """Who may enrol with a token, and until when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    name: str
    organisation: Organisation
    country: Country
    created: AwareDatetime
    expires: AwareDatetime


class IssuedCertificate(BaseModel):
    """A certificate of a member; ``revoked`` says when it was withdrawn, if it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serial: str
    issued: AwareDatetime
    expires: AwareDatetime
    revoked: AwareDatetime | None = None


class Member(BaseModel):
    """A member of the federation.

    Attributes:
        role: what it may do.
        name: its name, unique in its role.
        organisation: who runs it.
        country: where.
        enrolled: when it last enrolled; None if it was revoked before it ever did.
        revoked: when it was revoked; None again once it has been invited and enrolled anew.
        certificates: those that have not expired, the oldest first, the revoked ones among them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    name: str
    organisation: Organisation
    country: Country
    enrolled: AwareDatetime | None
    revoked: AwareDatetime | None = None
    certificates: tuple[IssuedCertificate, ...] = ()
