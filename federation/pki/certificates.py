"""How certificates are made: one builder under the three kinds (root, issuing authority, member)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from datalab.errors import BadInputError
from federation.pki.identity import BACKDATED

_MAX_REQUEST_BYTES = 16 << 10


@dataclass(frozen=True)
class Issuer:
    """Who signs: a name and its key."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey


def authority_name(title: str, federation: str) -> x509.Name:
    """Return the subject of one of a federation's authorities."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, federation),
            x509.NameAttribute(NameOID.COMMON_NAME, title),
        ]
    )


def federation_of(authority: x509.Certificate) -> str:
    """Return the federation in an authority's subject.

    Raises:
        ValueError: the certificate does not name one.
    """
    (attribute,) = authority.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(attribute.value)


def authority_certificate(subject: Issuer, issuer: Issuer, *, lifetime: timedelta, depth: int) -> x509.Certificate:
    """Make an authority's certificate; at most ``depth`` authorities may stand below it."""
    return (
        _builder(subject.name, subject.key.public_key(), issuer, datetime.now(UTC) + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(issuer.key, hashes.SHA256())
    )


def member_certificate(
    key: ec.EllipticCurvePublicKey,
    issuer: Issuer,
    *,
    names: Sequence[x509.GeneralName],
    serves: bool,
    expires: datetime,
) -> x509.Certificate:
    """Make a member's certificate, for a server or for a client, never for both.

    The subject is empty, because verifiers may take a common name for a host name; so ``names`` are critical.
    """
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
    return (
        _builder(x509.Name([]), key, issuer, expires)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(issuer.key, hashes.SHA256())
    )


def requested_key(request_pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a certificate signing request, all that is ever taken from one.

    Raises:
        BadInputError: it is malformed, is not signed by its own key, or its key is not EC P-256.
    """
    try:
        if len(request_pem) > _MAX_REQUEST_BYTES:
            raise ValueError("too large")
        request = x509.load_pem_x509_csr(request_pem)
        key = request.public_key()
        genuine = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInputError(
            "This is not a certificate signing request in PEM form.",
            next_step="Enrol with `datalab node enrol`.",
        ) from error
    if not genuine or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadInputError(
            "The signing request must be for an EC P-256 key and signed by it.",
            next_step="Enrol with `datalab node enrol`, which makes such a key.",
        )
    return key


def fingerprint(certificate: x509.Certificate) -> str:
    """Return a certificate's SHA-256 fingerprint in the form that people compare (AB:CD:…)."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: Issuer, expires: datetime
) -> x509.CertificateBuilder:
    """Return what all certificates share; the serial number has 159 random bits."""
    issuer_key = issuer.key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - BACKDATED)
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
