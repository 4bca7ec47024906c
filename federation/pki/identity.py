"""Who holds a certificate: a role and a name in a federation, as a URI in the style of SPIFFE."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from datalab.canonical import sha256_hex
from datalab.errors import IdentityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
    from cryptography.x509 import Certificate

# 63 characters: the length of a DNS label, and less than X.509 allows in a name (64).
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_FEDERATION = re.compile(r"(?=.{1,63}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
BACKDATED = timedelta(minutes=5)
"""Certificates are valid a little before they are made, for members whose clock is slow."""
RENEWED_AT = 2 / 3
"""Share of a certificate's life after which its holder renews it."""

_URI = re.compile(r"spiffe://(?P<federation>[^/]+)/(?P<role>[^/]+)/(?P<name>[^/]+)")


class Role(StrEnum):
    """What a member may do in the federation."""

    NODE = "node"
    RUNNER = "runner"
    GATEWAY = "gateway"
    LAB = "lab"


@dataclass(frozen=True)
class Identity:
    """A member of a federation.

    Attributes:
        federation: the trust domain, such as ``datalab.local``.
        role: what it may do.
        name: lower-case letters, digits and inner hyphens, at most 63.

    Raises:
        IdentityError: one of them does not have this form.
    """

    federation: str
    role: Role
    name: str

    def __post_init__(self) -> None:
        if not _FEDERATION.fullmatch(self.federation):
            raise IdentityError(
                "The name of a federation must be a host name in lower case, at most 63 characters.",
                next_step="Correct it under `federation` in datalab.toml.",
            )
        if self.role not in set(Role):
            raise IdentityError("This is not a role in a federation.", next_step=f"Roles are: {', '.join(Role)}.")
        if not _NAME.fullmatch(self.name):
            raise IdentityError(
                "The name of a member must be lower-case letters, digits and inner hyphens, at most 63.",
                next_step="Choose a name such as rotterdam-1.",
            )
        object.__setattr__(self, "role", Role(self.role))

    def __str__(self) -> str:
        return f"spiffe://{self.federation}/{self.role}/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read what ``str(identity)`` wrote.

        Raises:
            IdentityError: it is not the URI of a member.
        """
        found = _URI.fullmatch(uri) if len(uri) <= 200 else None
        if found is None or found["role"] not in set(Role):
            raise IdentityError("This is not the identity of a member of a federation (spiffe://FEDERATION/ROLE/NAME).")
        return cls(found["federation"], Role(found["role"]), found["name"])


@dataclass(frozen=True)
class Holder:
    """What a certificate says of who holds it.

    Attributes:
        identity: the one URI in it.
        serial: its serial number, lower-case hexadecimal.
        not_before: start of its validity, UTC.
        expires: last second of its validity, UTC.
        key_sha256: SHA-256 of its public key.
    """

    identity: Identity
    serial: str
    not_before: datetime
    expires: datetime
    key_sha256: str

    @property
    def renewal_due(self) -> datetime:
        """When it is to be renewed, UTC."""
        issued = self.not_before + BACKDATED
        return issued + (self.expires - issued) * RENEWED_AT


def public_key_sha256(key: CertificatePublicKeyTypes) -> str:
    """Return the SHA-256 of a public key (of its SubjectPublicKeyInfo), 64 hexadecimal characters."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256_hex(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def holder_of(certificate: Certificate) -> Holder:
    """Read a certificate; whether to trust it is for TLS, or ``federation.pki.keys.check_chain``, to say.

    Raises:
        IdentityError: it does not carry exactly one URI, or that is not a member's.
    """
    from cryptography.x509 import (
        ExtensionNotFound,
        SubjectAlternativeName,
        UniformResourceIdentifier,
    )

    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
        uris = names.get_values_for_type(UniformResourceIdentifier)
    except (ExtensionNotFound, ValueError):
        uris = []
    if len(uris) != 1:
        raise IdentityError(
            "The certificate does not name exactly one member of a federation.",
            next_step="Enrol with a token from the federation's operator.",
        )
    return Holder(
        identity=Identity.parse(uris[0]),
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        expires=certificate.not_valid_after_utc,
        key_sha256=public_key_sha256(certificate.public_key()),
    )


def holder_from_pem(pem: bytes) -> Holder:
    """Read the first certificate of a PEM text, as gRPC hands over its peer's (``x509_pem_cert``).

    Raises:
        IdentityError: there is none, or it is not a member's.
    """
    from cryptography.x509 import load_pem_x509_certificate

    try:
        certificate = load_pem_x509_certificate(pem)
    except ValueError as error:
        raise IdentityError("This is not a certificate in PEM form.") from error
    return holder_of(certificate)
