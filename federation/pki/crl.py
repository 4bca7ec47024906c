"""The list of revoked certificates that nodes keep: an X.509 CRL (RFC 5280), signed by the issuing authority.

Nodes cannot see the gateway's register, and the gateway itself may be the one that is revoked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from datalab.errors import IdentityError

if TYPE_CHECKING:
    from cryptography import x509

    from federation.pki.authority import Authority
    from federation.pki.members import Revocations

LIFETIME = timedelta(days=7)
"""For how long a list is fresh."""
MAX_CRL_BYTES = 4 << 20


@dataclass(frozen=True)
class RevocationList:
    """A list that has been checked.

    Attributes:
        serials: serial numbers of revoked certificates, lower-case hexadecimal.
        number: grows with every change.
        made: when it was signed.
        stale: when it should have been replaced by a newer one.
    """

    serials: frozenset[str]
    number: int
    made: datetime
    stale: datetime

    def replaces(self, other: RevocationList) -> bool:
        """Whether this list is newer than ``other``; an older one must never take the place of a newer."""
        return (self.number, self.made) >= (other.number, other.made)


def build_crl(authority: Authority, revocations: Revocations, now: datetime) -> bytes:
    """Return the signed list, DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + LIFETIME)
        .add_extension(x509.CRLNumber(revocations.number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    for one in revocations.certificates:
        entry = x509.RevokedCertificateBuilder().serial_number(int(one.serial, 16)).revocation_date(one.revoked)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


def check_crl(crl_der: bytes, issuer_pem: bytes, trust_pem: bytes, *, now: datetime) -> RevocationList:
    """Read a list that an issuing authority of this federation has signed.

    Args:
        crl_der: the list.
        issuer_pem: the certificate of the authority that signed it.
        trust_pem: the roots that count here.
        now: when that authority must be valid; that the list itself is stale is for the caller to judge.

    Raises:
        IdentityError: it is malformed, or not signed by such an authority.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        if len(crl_der) > MAX_CRL_BYTES:
            raise ValueError("too large")
        issuer = _authority(x509.load_pem_x509_certificate(issuer_pem), trust_pem, now)
        crl = x509.load_der_x509_crl(crl_der)
        if crl.issuer != issuer.subject or not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]
            raise ValueError("not signed by this authority")
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        if crl.next_update_utc is None:
            raise ValueError("never stale")
        serials = frozenset(f"{one.serial_number:x}" for one in crl)
        return RevocationList(serials, number, crl.last_update_utc, crl.next_update_utc)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise IdentityError(
            "The list of revoked certificates is not signed by this federation's authority.",
            next_step="Tell the federation's operator.",
        ) from error


def _authority(issuer: x509.Certificate, trust_pem: bytes, now: datetime) -> x509.Certificate:
    """Return ``issuer`` if it is an authority directly below a trusted root and may sign lists."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    if not (basic.ca and usage.crl_sign and issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc):
        raise ValueError("not an authority now")
    for root in x509.load_pem_x509_certificates(trust_pem):
        try:
            issuer.verify_directly_issued_by(root)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return issuer
    raise ValueError("not below a trusted root")
