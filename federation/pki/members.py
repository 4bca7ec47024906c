"""What the register of a federation says of its members and of those invited."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from federation.pki.identity import Role

Organisation = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2; EU where it is the federation's own."""


class Invite(BaseModel):
    """Who may enrol with a token, and until when.

    Attributes:
        role: what the member will be.
        name: its name, unique in its role.
        organisation: who runs it.
        country: where.
        created: when it was invited.
        expires: until when the token works.
        approved: when the operator approved the key that came in with the token, or the token before any key had come;
            None as long as that has not been done.
        key_sha256: SHA-256 of the public key that first came in with the token; no other key is taken from then on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    name: str
    organisation: Organisation
    country: Country
    created: AwareDatetime
    expires: AwareDatetime
    approved: AwareDatetime | None = None
    key_sha256: str | None = None

    @property
    def waiting(self) -> bool:
        """Whether a key has come in that the operator has not approved yet."""
        return self.key_sha256 is not None and self.approved is None


class IssuedCertificate(BaseModel):
    """A certificate of a member.

    Attributes:
        serial: its serial number, lower-case hexadecimal.
        issued: when it was issued.
        expires: when it ends.
        revoked: when it was withdrawn, if it was.
        key_sha256: SHA-256 of its public key; empty in records of before 0.2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    serial: str
    issued: AwareDatetime
    expires: AwareDatetime
    revoked: AwareDatetime | None = None
    key_sha256: str = ""


class Revoked(BaseModel):
    """A certificate that no longer counts although it has not expired."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serial: str
    member: str
    revoked: AwareDatetime
    expires: AwareDatetime


class Revocations(BaseModel):
    """All of them; ``number`` grows with every change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = 0
    certificates: tuple[Revoked, ...] = ()

    def with_revoked(self, new: Iterable[Revoked], now: datetime) -> Revocations:
        """Return the list with ``new`` in it and without those that have expired since."""
        kept = [one for one in self.certificates if one.expires > now]
        return Revocations(number=self.number + 1, certificates=(*kept, *new))


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
