"""The register of a federation's members, on the gateway's disk: who was invited, enrolled, revoked.

Gateway and command line work on the same files: an invitation is taken by renaming it, which succeeds once; a
member's record changes under a lock; every change is in the federation's audit log.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from datalab.audit.log import AuditLog
from datalab.canonical import sha256_hex
from datalab.errors import BadInputError, IdentityError, NotFoundError, RefusedError
from datalab.home import write_atomically
from federation.pki.identity import Holder, Identity, Role
from federation.pki.members import Invite, IssuedCertificate, Member, Revocations, Revoked

INVITE_LIFETIME = timedelta(days=7)
MAX_CERTIFICATES = 8
"""That a member can get within a tenth of a certificate's life."""


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
        self.revocations_file = folder / "revoked.json"
        self.audit = AuditLog(folder / "audit.jsonl")

    def invite(
        self,
        role: Role,
        name: str,
        *,
        organisation: str,
        country: str,
        approved: bool,
        lifetime: timedelta = INVITE_LIFETIME,
    ) -> str:
        """Invite a member; return the secret for its token, of which only a hash is kept.

        Args:
            role: node, runner or lab; a gateway's certificate comes from the authority beside it.
            name: of the member; an enrolled one may be invited again, such as when it has lost its key.
            organisation: who runs it.
            country: where, ISO 3166-1 alpha-2.
            approved: whether whatever key comes with the token is approved already, or ``approve`` has to be asked.
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
                approved=now if approved else None,
            )
        except ValidationError as error:
            raise BadInputError(
                "An invitation needs the name of the organisation, and its country as two capital letters.",
                next_step="For example: --organisation 'Erasmus MC' --country NL",
            ) from error
        secret = secrets.token_urlsafe(32)
        self.audit.append("member.invited", member=str(identity), expires=invite.expires.isoformat(), approved=approved)
        _write(self._invites / f"{identity.role}.{name}.{_hash(secret)}.json", invite)
        return secret

    def claim(self, secret: str, key_sha256: str) -> Invite | None:
        """Take the invitation that belongs to a token's secret; of all who try, one gets it.

        Args:
            secret: from the token.
            key_sha256: SHA-256 of the public key that is to be certified.

        Returns:
            The invitation, or None while the operator has not approved this key.

        Raises:
            IdentityError: it is unknown, used already, or expired; or another key came with it before.
        """
        pattern = f"*.{_hash(secret)}.json"
        with self._locked():
            path = next(self._invites.glob(pattern), None)
            if path is None:
                used = next(self._claimed.glob(pattern), None)
                raise _unusable("has been used already" if used else "is not known here")
            invite = Invite.model_validate_json(path.read_bytes())
            identity = Identity(self.federation, invite.role, invite.name)
            if invite.expires <= datetime.now(UTC):
                raise _unusable("has expired")
            if invite.key_sha256 not in (None, key_sha256):
                raise _unusable("came with another key before")
            if invite.key_sha256 is None:
                invite = invite.model_copy(update={"key_sha256": key_sha256})
                _write(path, invite)
                if invite.waiting:
                    self.audit.append("approval.asked", member=str(identity), key_sha256=key_sha256)
            if invite.waiting:
                return None
            path.rename(self._claimed / path.name)
        self.audit.append("invitation.claimed", member=str(identity), key_sha256=key_sha256)
        return invite

    def waiting(self) -> list[Invite]:
        """Return the invitations whose key waits for approval, the oldest first."""
        invites = [Invite.model_validate_json(path.read_bytes()) for path in self._invites.glob("*.json")]
        now = datetime.now(UTC)
        return sorted((one for one in invites if one.waiting and one.expires > now), key=lambda one: one.created)

    def approve(self, role: Role, name: str, key_sha256: str) -> Invite:
        """Approve the key that came in with a member's token; its next call gets the certificate.

        Raises:
            NotFoundError: no such key waits.
        """
        identity = Identity(self.federation, role, name)
        others = False
        with self._locked():
            for path in self._invites.glob(f"{identity.role}.{identity.name}.*.json"):
                invite = Invite.model_validate_json(path.read_bytes())
                others |= invite.waiting
                if invite.waiting and invite.key_sha256 == key_sha256:
                    invite = invite.model_copy(update={"approved": datetime.now(UTC)})
                    _write(path, invite)
                    self.audit.append("key.approved", member=str(identity), key_sha256=key_sha256)
                    return invite
        if others:
            raise NotFoundError(
                f"The key of the {identity.role} {name} that waits for approval has another fingerprint.",
                next_step="Compare all 64 digits with those that `datalab node enrol` shows on site. If they "
                "are others, somebody else has used the token: revoke the node, and invite it again.",
            )
        raise NotFoundError(
            f"No key of the {identity.role} {name} waits for approval.",
            next_step="It waits from the moment in which `datalab node enrol` is started there.",
        )

    def record_certificate(self, invite: Invite, holder: Holder, *, issued: datetime | None = None) -> Member:
        """Enter a certificate that was issued for an invitation; only then may it be handed out.

        Args:
            invite: what it was issued for.
            holder: what it says.
            issued: when its authority was known to issue, by which a rollover judges it; now, if left out.

        Raises:
            IdentityError: the member was revoked after it was invited.
            BadInputError: the member has had a certificate for this key before.
            RefusedError: it has got too many in a short time.
        """
        with self._locked():
            known = self._find(holder.identity)
            if known is not None and known.revoked is not None and known.revoked >= invite.created:
                raise _unusable("was revoked")
            member = Member(
                role=invite.role,
                name=invite.name,
                organisation=invite.organisation,
                country=invite.country,
                enrolled=datetime.now(UTC),
                certificates=known.certificates if known else (),
            )
            return self._enter(member, holder, issued)

    def record_renewal(self, former: Holder, holder: Holder, *, issued: datetime | None = None) -> Member:
        """Enter a certificate that was issued to a member on the strength of its former one; as ``record_certificate``.

        Raises:
            IdentityError: the former one is not in the register, or was revoked in this moment.
            BadInputError: the member has had a certificate for this key before.
            RefusedError: it has got too many in a short time.
        """
        with self._locked():
            return self._enter(self.check_admitted(former), holder, issued)

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
            new = [
                Revoked(serial=one.serial, member=str(identity), revoked=now, expires=one.expires)
                for one in member.certificates
                if one.revoked is None and one.expires > now
            ]
            # First of all what cuts live streams; a crash after it leaves a member that can be revoked again.
            _write(self.revocations_file, self.revocations().with_revoked(new, now))
            certificates = tuple(
                one if one.revoked else one.model_copy(update={"revoked": now}) for one in member.certificates
            )
            # Written even if it never enrolled: an enrolment under way finds it in record_certificate.
            member = member.model_copy(update={"revoked": now, "certificates": certificates})
            _write(self._member_file(member.role, member.name), member)
            for path in self._invitations_of(identity):
                path.unlink(missing_ok=True)
            self.audit.append("member.revoked", member=str(identity), serials=[one.serial for one in certificates])
        return member

    def revocations(self) -> Revocations:
        """Return the certificates that no longer count although they have not expired."""
        try:
            return Revocations.model_validate_json(self.revocations_file.read_bytes())
        except FileNotFoundError:
            return Revocations()

    def members(self, role: Role | None = None) -> list[Member]:
        """Return all members, or those of one role, by role and name."""
        found = self._members.glob(f"{role or '*'}.*.json")
        return [Member.model_validate_json(path.read_bytes()) for path in sorted(found)]

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
            raise revoked_error(holder.identity, issued.revoked)
        return member

    def _enter(self, member: Member, holder: Holder, issued: datetime | None) -> Member:
        """Add a certificate to a member's record, which is under the lock; those that have expired leave it."""
        now = datetime.now(UTC)
        new = IssuedCertificate(
            serial=holder.serial, issued=issued or now, expires=holder.expires, key_sha256=holder.key_sha256
        )
        kept = [one for one in member.certificates if one.expires > now]
        if any(one.key_sha256 == new.key_sha256 for one in kept):
            raise BadInputError(
                f"{holder.identity} has had a certificate for this key before; a new one needs a new key.",
                next_step="Renew with `datalab node renew`, or enrol with `datalab node enrol`: both make one.",
            )
        if holder.identity.role is not Role.GATEWAY:  # gateways issue for themselves, once a start
            _check_rate(holder, kept, now)
        member = member.model_copy(update={"certificates": (*kept, new)})
        self.audit.append(
            "certificate.issued",
            member=str(holder.identity),
            serial=holder.serial,
            expires=holder.expires.isoformat(),
        )
        _write(self._member_file(member.role, member.name), member)
        return member

    def _find(self, identity: Identity) -> Member | None:
        try:
            return Member.model_validate_json(self._member_file(identity.role, identity.name).read_bytes())
        except FileNotFoundError:
            return None

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


def revoked_error(identity: Identity, when: datetime) -> IdentityError:
    """Return what a member is told whose certificate was revoked."""
    return IdentityError(
        f"The certificate of {identity} was revoked at {when:%Y-%m-%d %H:%M} UTC.",
        next_step="Ask the federation's operator why; a new invitation is needed to come back.",
    )


def expired_error(holder: Holder) -> IdentityError:
    """Return what a member is told whose certificate ended while it was connected."""
    return IdentityError(
        f"The certificate of {holder.identity} expired at {holder.expires:%Y-%m-%d %H:%M} UTC.",
        next_step="It should have been renewed before: see the member's log. Enrol with a new token.",
    )


def _check_rate(holder: Holder, kept: Sequence[IssuedCertificate], now: datetime) -> None:
    """Raise RefusedError if a member has got too many certificates of late: something there goes round in circles."""
    window = (holder.expires - now) / 10
    recent = sorted(one.issued for one in kept if one.issued > now - window)
    if len(recent) >= MAX_CERTIFICATES:
        again = recent[-MAX_CERTIFICATES] + window
        raise RefusedError(
            f"{holder.identity} has got {len(recent)} certificates since {recent[0]:%Y-%m-%d %H:%M} UTC.",
            next_step=f"See in its log why, and try again after {again:%Y-%m-%d %H:%M} UTC.",
        )


def _write(path: Path, record: Invite | Member | Revocations) -> None:
    write_atomically(path, record.model_dump_json().encode())


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
