"""The holder's side: a key made where it is used, a request for a certificate, and what came back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from datalab.errors import IdentityError, NotFoundError
from datalab.home import write_atomically
from federation.pki.identity import Holder, Identity, holder_from_pem, holder_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

KEY_FILE = "key.pem"
CHAIN_FILE = "chain.pem"
TRUST_FILE = "trust.pem"


def new_key() -> EllipticCurvePrivateKey:
    """Make a private key (EC P-256); it is stored by ``Credentials.store`` and never leaves this machine."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    """Return ``key`` as unencrypted PKCS #8 PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_request(key: EllipticCurvePrivateKey) -> bytes:
    """Return a certificate signing request (PEM): it proves possession of ``key`` and asks for nothing."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class Credentials:
    """What a member needs for mutual TLS, all of it PEM.

    Attributes:
        key_pem: its private key; readable by its owner only, never logged.
        chain_pem: its certificate, then the authority that issued it.
        trust_pem: the root certificates by which it knows its peers.
    """

    key_pem: bytes = field(repr=False)
    chain_pem: bytes = field(repr=False)
    trust_pem: bytes = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``store`` wrote.

        Raises:
            NotFoundError: a file cannot be read; the node has not enrolled.
        """
        try:
            return cls(*((folder / name).read_bytes() for name in (KEY_FILE, CHAIN_FILE, TRUST_FILE)))
        except OSError as error:
            raise NotFoundError(
                f"There are no credentials in {folder}: {error.strerror}.",
                next_step="Enrol with a token from the federation's operator: datalab node enrol",
            ) from error

    def store(self, folder: Path) -> None:
        """Write three files into ``folder``, readable by their owner only."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, data in (
            (KEY_FILE, self.key_pem),
            (TRUST_FILE, self.trust_pem),
            (CHAIN_FILE, self.chain_pem),
        ):
            write_atomically(folder / name, data)

    @cached_property
    def holder(self) -> Holder:
        """What the certificate says (raises IdentityError if it is not a member's)."""
        return holder_from_pem(self.chain_pem)

    def days_left(self, now: datetime | None = None) -> float:
        """Return for how many days the certificate is still valid; negative once it has expired."""
        return (self.holder.expires - (now or datetime.now(UTC))).total_seconds() / 86400

    def check(self, identity: Identity, *, now: datetime | None = None) -> None:
        """Check that key, certificate and trust belong together and to ``identity``.

        Raises:
            IdentityError: the certificate is another's, not by a trusted root, or not valid now.
        """
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        leaf = check_chain(self.chain_pem, self.trust_pem, now=now or datetime.now(UTC))
        if leaf.public_key() != load_pem_private_key(self.key_pem, None).public_key():
            raise IdentityError("The certificate is for another key.", next_step="Enrol again with a new token.")
        if holder_of(leaf).identity != identity:
            raise IdentityError(
                f"The certificate is for {holder_of(leaf).identity}, not for {identity}.",
                next_step="Tell the federation's operator.",
            )


def check_chain(chain_pem: bytes, trust_pem: bytes, *, now: datetime, serves: bool = False) -> Certificate:
    """Return the first certificate of a chain that leads to one of the roots and is valid at ``now``.

    Args:
        chain_pem: the certificate, then those between it and a root.
        trust_pem: the roots.
        now: the time.
        serves: whether it must be a server's certificate (a gateway's) instead of a client's.

    Raises:
        IdentityError: it does not lead there, is not for this use, or is expired or not yet valid.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID
    from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

    purpose = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
    try:
        leaf, *others = x509.load_pem_x509_certificates(chain_pem)
        # A server's DNS names are for TLS to check; here only the chain and the use count, the same way for both kinds.
        policy = (
            PolicyBuilder()
            .store(Store(x509.load_pem_x509_certificates(trust_pem)))
            .time(now)
            .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all())
        )
        policy.build_client_verifier().verify(leaf, others)
        if list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) != [purpose]:
            raise ValueError("the certificate is for another use")
    except (ValueError, VerificationError, x509.ExtensionNotFound) as error:
        raise IdentityError(
            "The certificate was not issued by the federation's authority for this use, or is not valid now.",
            next_step="Check that this machine's clock is right, then enrol again with a new token.",
        ) from error
    return leaf
