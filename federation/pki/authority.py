"""The federation's certificate authority: a root that is put away, and an issuing authority that works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from datalab.errors import BadInputError, IdentityError, NotFoundError
from datalab.home import write_atomically
from federation.pki.certificates import (
    Issuer,
    authority_certificate,
    authority_name,
    federation_of,
    member_certificate,
    requested_key,
)
from federation.pki.identity import Identity, Role
from federation.pki.keys import new_key

ROOT_LIFETIME = timedelta(days=20 * 365)
ISSUING_LIFETIME = timedelta(days=5 * 365)
MEMBER_LIFETIME = timedelta(days=7)

_ROOT_KEY, _ROOT = "root.key.pem", "root.pem"
_ISSUING_KEY, _ISSUING = "issuing.key.pem", "issuing.pem"


@dataclass(frozen=True)
class Authority:
    """The issuing authority of a federation.

    Attributes:
        federation: the trust domain that it issues for.
        root: the certificate that members trust.
        certificate: the issuing certificate, signed by the root.
        key: the issuing key.
        other_roots: what members trust besides: during a rollover, the root before or after this one.
        as_of: when it was known to be the one that issues.
    """

    federation: str
    root: x509.Certificate
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    other_roots: tuple[x509.Certificate, ...] = ()
    as_of: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def load(cls, issuing_folder: Path, passphrase: str, others: Sequence[Path] = ()) -> Self:
        """Read an issuing authority.

        Args:
            issuing_folder: as ``create_authority`` has written it.
            passphrase: of its key.
            others: folders of authorities whose roots members trust besides its own.

        Raises:
            NotFoundError: there is none in one of the folders.
            IdentityError: the passphrase is wrong, or the files are damaged.
        """
        names = (_ISSUING_KEY, _ISSUING, _ROOT)
        try:
            key_data, issuing_data, root_data = ((issuing_folder / name).read_bytes() for name in names)
            other_data = [(folder / _ROOT).read_bytes() for folder in others]
        except OSError as error:
            raise NotFoundError(
                f"There is no certificate authority in {issuing_folder}: {error.strerror}.",
                next_step="Make one with: datalab pki init",
            ) from error
        try:
            root = x509.load_pem_x509_certificate(root_data)
            certificate = x509.load_pem_x509_certificate(issuing_data)
            certificate.verify_directly_issued_by(root)
            key = load_pem_private_key(key_data, passphrase.encode())
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError("not an EC key")
            other_roots = tuple(x509.load_pem_x509_certificate(one) for one in other_data)
            return cls(federation_of(certificate), root, certificate, key, other_roots)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise IdentityError(
                "The certificate authority cannot be opened: wrong passphrase, or a damaged file.",
                where=str(issuing_folder),
                next_step="Restore the folder and the passphrase from the same backup.",
            ) from error

    @property
    def trust_bundle_pem(self) -> bytes:
        """The roots that members trust, this authority's own first."""
        return b"".join(root.public_bytes(Encoding.PEM) for root in (self.root, *self.other_roots))

    @property
    def issuer_pem(self) -> bytes:
        """The issuing certificate, by which its signatures are checked."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        request_pem: bytes,
        identity: Identity,
        *,
        lifetime: timedelta = MEMBER_LIFETIME,
        dns_names: Sequence[str] = (),
        ips: Sequence[IPv4Address | IPv6Address] = (),
    ) -> bytes:
        """Issue a certificate for the key in a signing request, ignoring whatever else the request asks for.

        Only a gateway can act as a server, and only it has DNS names and addresses, so that no other member
        can pose as one: gRPC checks a server's DNS name, not its URI.

        Args:
            request_pem: the certificate signing request, which proves possession of the key.
            identity: whom the certificate is for.
            lifetime: from now; not beyond the issuing certificate's own end.
            dns_names: a gateway's host names.
            ips: a gateway's addresses.

        Returns:
            The certificate and the issuing certificate, as PEM.

        Raises:
            BadInputError: the request is malformed, not signed by its own key, or its key is not EC P-256.
            IdentityError: the identity is of another federation, or its role does not go with the host names.
        """
        serves = identity.role is Role.GATEWAY
        if identity.federation != self.federation:
            raise IdentityError(f"This authority issues for {self.federation}, not for {identity.federation}.")
        if serves != bool(dns_names or ips):
            raise IdentityError("A gateway's certificate needs host names or addresses, and no other may have any.")
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(identity))]
        names += [x509.DNSName(name) for name in dns_names]
        names += [x509.IPAddress(address) for address in ips]
        leaf = member_certificate(
            requested_key(request_pem),
            Issuer(self.certificate.subject, self.key),
            names=names,
            serves=serves,
            expires=min(datetime.now(UTC) + lifetime, self.certificate.not_valid_after_utc),
        )
        return leaf.public_bytes(Encoding.PEM) + self.certificate.public_bytes(Encoding.PEM)


def create_authority(root_folder: Path, issuing_folder: Path, *, federation: str, passphrase: str) -> Authority:
    """Make a federation's root and issuing authority (EC P-256).

    Args:
        root_folder: gets the root's key and certificate; to be put away, since it is needed again only to
            replace the issuing authority.
        issuing_folder: gets the issuing key, encrypted with ``passphrase``, and both certificates.
        federation: the trust domain that it issues for.
        passphrase: of the issuing key.

    Raises:
        BadInputError: one of the folders holds an authority already.
        IdentityError: ``federation`` is not a valid name.
    """
    Identity(federation, Role.GATEWAY, "gateway")  # refuses a name that no member could carry
    for path in (root_folder / _ROOT_KEY, issuing_folder / _ISSUING_KEY):
        if path.exists():
            raise BadInputError(
                "There is a certificate authority already.",
                where=str(path),
                next_step="Use it; to start a new federation, name other folders.",
            )
    root, issuing = _issuer("Datalab root", federation), _issuer("Datalab issuing", federation)
    root_certificate = authority_certificate(root, root, lifetime=ROOT_LIFETIME, depth=1)
    certificate = authority_certificate(issuing, root, lifetime=ISSUING_LIFETIME, depth=0)
    for folder in (root_folder, issuing_folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    encrypted = BestAvailableEncryption(passphrase.encode())
    for path, data in (
        (root_folder / _ROOT_KEY, root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
        (root_folder / _ROOT, root_certificate.public_bytes(Encoding.PEM)),
        (
            issuing_folder / _ISSUING_KEY,
            issuing.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted),
        ),
        (issuing_folder / _ISSUING, certificate.public_bytes(Encoding.PEM)),
        (issuing_folder / _ROOT, root_certificate.public_bytes(Encoding.PEM)),
    ):
        write_atomically(path, data)
    return Authority(federation, root_certificate, certificate, issuing.key)


def _issuer(title: str, federation: str) -> Issuer:
    """Return a new key under a name of its own: of two authorities by one name, a verifier may pick the wrong one."""
    key = new_key()
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()
    return Issuer(authority_name(f"{title} {digest[:8]}", federation), key)
