"""The register of a federation's members, on the gateway's disk: who was invited, enrolled, revoked.

Gateway and command line work on the same files: an invitation is taken by renaming it, which succeeds once; a
member's record changes under a lock; every change is in the federation's audit log.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from datalab.audit.log import AuditLog
from datalab.canonical import sha256_hex
from datalab.errors import BadInputError, IdentityError, NotFoundError
from datalab.home import write_atomically
from federation.pki.identity import Holder, Identity, Role
from federation.pki.members import Invite, IssuedCertificate, Member

INVITE_LIFETIME = timedelta(days=7)


class Registry:
    """The register in one folder.

    Args:
        folder: the federation's folder in the home of the gateway.
        federation: the trust domain of all members.
    """

    def __init__(self, folder: Path, federation: str) -> None:
        self.federation = federation
        self._invites = _folder(folder / "invites")
        self._claimed = _folder(folder / "invites" / "claimed")
        self._members = _folder(folder / "members")
        self._lock = folder / ".lock"
        self.audit = AuditLog(folder / "audit.jsonl")

    def invite(
        self,
        role: Role,
        name: str,
        *,
        organisation: str,
        country: str,
        lifetime: timedelta = INVITE_LIFETIME,
    ) -> str:
        """Invite a member; return the secret for its token, of which only a hash is kept.

        Args:
            role: node, runner or lab; a gateway's certificate comes from the authority beside it.
            name: of the member; an enrolled one may be invited again, such as when it has lost its key.
            organisation: who runs it.
            country: where, ISO 3166-1 alpha-2.
            lifetime: for how long the secret can be used.

        Raises:
            IdentityError: the name is not valid, or the role cannot enrol.
            BadInputError: organisation or country is not valid.
        """
        identity = Identity(self.federation, role, name)
        if identity.role is Role.GATEWAY:
            raise IdentityError("A gateway does not enrol: it runs beside the authority.")
        now = datetime.now(UTC)
        try:
            invite = Invite(
                role=identity.role,
                name=name,
                organisation=organisation,
                country=country,
                created=now,
                expires=now + lifetime,
            )
        except ValidationError as error:
            raise BadInputError(
                "An invitation needs the name of the organisation, and its country as two capital letters.",
                next_step="For example: --organisation 'Erasmus MC' --country NL",
            ) from error
        secret = secrets.token_urlsafe(32)
        self.audit.append("member.invited", member=str(identity), expires=invite.expires.isoformat())
        path = self._invites / f"{identity.role}.{name}.{_hash(secret)}.json"
        write_atomically(path, invite.model_dump_json().encode())
        return secret

    def claim(self, secret: str) -> Invite:
        """Take the invitation that belongs to a token's secret; of all who try, one gets it.

        Raises:
            IdentityError: it is unknown, used already, or expired.
        """
        pattern = f"*.{_hash(secret)}.json"
        path = next(self._invites.glob(pattern), None)
        if path is None:
            used = next(self._claimed.glob(pattern), None)
            raise _unusable("has been used already" if used else "is not known here")
        try:
            invite = Invite.model_validate_json(path.read_bytes())
            if invite.expires <= datetime.now(UTC):
                raise _unusable("has expired")
            path.rename(self._claimed / path.name)
        except FileNotFoundError:  # another was faster, or it was revoked in this moment
            raise _unusable("has been used already") from None
        self.audit.append("invitation.claimed", member=str(Identity(self.federation, invite.role, invite.name)))
        return invite

    def record_certificate(self, invite: Invite, holder: Holder) -> Member:
        """Enter a certificate that was issued for an invitation; only then may it be handed out.

        Raises:
            IdentityError: the member was revoked after it was invited.
        """
        with self._locked():
            now = datetime.now(UTC)
            known = self._find(holder.identity)
            certificates = known.certificates if known else ()
            if known is not None and known.revoked is not None and known.revoked >= invite.created:
                raise _unusable("was revoked")
            new = IssuedCertificate(serial=holder.serial, issued=now, expires=holder.expires)
            member = Member(
                role=invite.role,
                name=invite.name,
                organisation=invite.organisation,
                country=invite.country,
                enrolled=now,
                certificates=(*(one for one in certificates if one.expires > now), new),
            )
            self.audit.append(
                "certificate.issued",
                member=str(holder.identity),
                serial=holder.serial,
                expires=holder.expires.isoformat(),
            )
            self._write(member)
        return member

    def revoke(self, role: Role, name: str) -> Member:
        """Withdraw all certificates of a member, and every invitation that it has not yet enrolled with.

        Raises:
            NotFoundError: there is no such member, nor was one invited.
        """
        identity = Identity(self.federation, role, name)
        with self._locked():
            now = datetime.now(UTC)
            member = self._find(identity) or self._invited(identity)
            if member is None:
                raise NotFoundError(
                    f"There is no {identity.role} called {name}.",
                    next_step="List the members: datalab node list",
                )
            certificates = tuple(
                one if one.revoked else one.model_copy(update={"revoked": now}) for one in member.certificates
            )
            # Written even if it never enrolled: an enrolment under way finds it in record_certificate.
            member = member.model_copy(update={"revoked": now, "certificates": certificates})
            self._write(member)
            for path in self._invitations_of(identity):
                path.unlink(missing_ok=True)
            self.audit.append("member.revoked", member=str(identity), serials=[one.serial for one in certificates])
        return member

    def members(self) -> list[Member]:
        """Return all members, by role and name."""
        return [Member.model_validate_json(path.read_bytes()) for path in sorted(self._members.glob("*.json"))]

    def check_admitted(self, holder: Holder) -> Member:
        """Return the member that holds a certificate, if this register has it and has not withdrawn it.

        Raises:
            IdentityError: it has not, or it has.
        """
        member = self._find(holder.identity)
        issued = {one.serial: one for one in member.certificates}.get(holder.serial) if member else None
        if member is None or issued is None:
            raise IdentityError(
                f"The certificate of {holder.identity} is not in the register of this federation.",
                next_step="Enrol with a new token from the federation's operator.",
            )
        if issued.revoked is not None:
            raise IdentityError(
                f"The certificate of {holder.identity} was revoked at {issued.revoked:%Y-%m-%d %H:%M} UTC.",
                next_step="Ask the federation's operator why; a new invitation is needed to come back.",
            )
        return member

    def _find(self, identity: Identity) -> Member | None:
        try:
            return Member.model_validate_json(self._member_file(identity.role, identity.name).read_bytes())
        except FileNotFoundError:
            return None

    def _write(self, member: Member) -> None:
        write_atomically(self._member_file(member.role, member.name), member.model_dump_json().encode())

    def _member_file(self, role: Role, name: str) -> Path:
        return self._members / f"{role}.{name}.json"

    def _invited(self, identity: Identity) -> Member | None:
        """Return what a member that was invited but has not enrolled would be."""
        for path in self._invitations_of(identity):
            invite = Invite.model_validate_json(path.read_bytes())
            return Member(
                role=invite.role,
                name=invite.name,
                organisation=invite.organisation,
                country=invite.country,
                enrolled=None,
            )
        return None

    def _invitations_of(self, identity: Identity) -> list[Path]:
        """Return the files of a member's invitations, claimed or not."""
        pattern = f"{identity.role}.{identity.name}.*.json"
        return [*self._invites.glob(pattern), *self._claimed.glob(pattern)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _hash(secret: str) -> str:
    return sha256_hex(secret.encode())


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _unusable(why: str) -> IdentityError:
    return IdentityError(
        f"This invitation {why}.",
        next_step="Ask the federation's operator for a new token (datalab node invite).",
    )
