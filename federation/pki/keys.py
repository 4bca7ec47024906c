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

IDENTITY_FILE = "identity.pem"
"""Private key and certificate chain in one file, so that a crash never leaves the one without the other."""
TRUST_FILE = "trust.pem"
_TIME = "%Y-%m-%d %H:%M:%S"
_FORMERLY = ("key.pem", "chain.pem")
"""Where releases before 0.2 kept the two."""
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


class ClockError(IdentityError):
    """A certificate is not valid at this time by this machine's clock, and good otherwise."""


def new_key() -> EllipticCurvePrivateKey:
    """Make a private key (EC P-256); it is stored by ``Credentials.store`` and never leaves this machine."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    """Return ``key`` as unencrypted PKCS #8 PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> EllipticCurvePrivateKey:
    """Read what ``key_pem`` wrote.

    Raises:
        IdentityError: it is not such a key.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise IdentityError("The private key is damaged.", next_step="Enrol again with a new token.") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise IdentityError("The private key is not an EC key.", next_step="Enrol again with a new token.")
    return key


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
            if (folder / IDENTITY_FILE).exists():
                key, mark, chain = (folder / IDENTITY_FILE).read_bytes().partition(_CERTIFICATE)
                chain = mark + chain
            else:
                key, chain = ((folder / name).read_bytes() for name in _FORMERLY)
            return cls(key, chain, (folder / TRUST_FILE).read_bytes())
        except OSError as error:
            raise NotFoundError(
                f"There are no credentials in {folder}: {error.strerror}.",
                next_step="Enrol with a token from the federation's operator: datalab node enrol",
            ) from error

    def store(self, folder: Path) -> None:
        """Write two files into ``folder``, readable by their owner only; they replace former credentials."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # New roots first: a certificate is of no use to somebody who does not trust its gateway.
        write_atomically(folder / TRUST_FILE, self.trust_pem)
        write_atomically(folder / IDENTITY_FILE, self.key_pem + self.chain_pem)
        for name in _FORMERLY:
            (folder / name).unlink(missing_ok=True)

    @staticmethod
    def exist(folder: Path) -> bool:
        """Whether there are credentials in ``folder``."""
        return any((folder / name).exists() for name in (IDENTITY_FILE, _FORMERLY[1]))

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
        leaf = check_chain(self.chain_pem, self.trust_pem, now=now or datetime.now(UTC))
        if leaf.public_key() != load_key(self.key_pem).public_key():
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
        IdentityError: it does not lead there, or is not for this use.
        ClockError: it does and is, and has expired or is not valid yet.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID
    from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

    purpose = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
    try:
        leaf, *others = chain = x509.load_pem_x509_certificates(chain_pem)
        begins, ends = max(one.not_valid_before_utc for one in chain), min(one.not_valid_after_utc for one in chain)
        # A server's DNS names are for TLS to check; here only the chain and the use count, the same way for both kinds.
        policy = (
            PolicyBuilder()
            .store(Store(x509.load_pem_x509_certificates(trust_pem)))
            .time(min(max(now, begins), ends))
            .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all())
        )
        policy.build_client_verifier().verify(leaf, others)
        if list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) != [purpose]:
            raise ValueError("the certificate is for another use")
    except (ValueError, VerificationError, x509.ExtensionNotFound) as error:
        raise IdentityError(
            "The certificate was not issued by the federation's authority for this use.",
            next_step="Tell the federation's operator; a new token may be needed.",
        ) from error
    if now < begins:
        raise ClockError(
            f"The certificate is valid from {begins:{_TIME}} UTC on, and this machine's clock says {now:{_TIME}}.",
            next_step="Set this machine's clock (NTP).",
        )
    if now > ends:
        raise ClockError(
            f"The certificate expired at {ends:{_TIME}} UTC, and this machine's clock says {now:{_TIME}}.",
            next_step="Set this machine's clock (NTP); if it is right, enrol again with a new token.",
        )
    return leaf
