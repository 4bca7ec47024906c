"""Signatures by members of the federation over statements that outlive a connection: audit heads, offers, a welcome.

A seal is an ECDSA signature (P-256, SHA-256) with the key of the member's certificate, over a context and a document as
canonical JSON. The context keeps a signature made for one purpose from being of use for another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from datalab.canonical import canonical_json
from datalab.errors import IdentityError
from federation.pki.identity import Holder, Role, holder_of
from federation.pki.keys import Credentials, check_chain, load_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

WELCOME = "gateway welcome"
"""Over ``{"node": SPIFFE id, "nonce": hex}``, by the gateway."""
OFFER = "run offer"
"""Over what a run asks of one node (``federation.wire.sealed``), by the runner."""
HEAD = "audit head"
"""Over ``{"owner": SPIFFE id, "n": number, "hash": hex}``, by the owner of the log."""
HEAD_SEEN = "audit head seen"
"""Over the same document, by the other side, which was shown the head."""


@dataclass(frozen=True)
class Sealer:
    """Signs as the member that holds ``credentials``."""

    credentials: Credentials

    def seal(self, context: str, document: Mapping[str, Any]) -> bytes:
        """Return the signature (DER) over ``document``, JSON values with string keys."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(_statement(context, document), ECDSA(SHA256()))

    @cached_property
    def _key(self) -> EllipticCurvePrivateKey:
        return load_key(self.credentials.key_pem)


def is_sealed_by(certificate_pem: bytes, signature: bytes, context: str, document: Mapping[str, Any]) -> bool:
    """Whether the key of a certificate that TLS has verified has signed ``document``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import load_pem_x509_certificate

    key = load_pem_x509_certificate(certificate_pem).public_key()
    try:
        assert isinstance(key, EllipticCurvePublicKey)
        key.verify(signature, _statement(context, document), ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def check_seal(
    signature: bytes,
    context: str,
    document: Mapping[str, Any],
    *,
    chain_pem: bytes,
    trust_pem: bytes,
    role: Role,
    now: datetime,
    revoked: Collection[str] = frozenset(),
) -> Holder:
    """Return who has sealed ``document``.

    Args:
        signature: from ``Sealer.seal``.
        context: what the statement is for.
        document: what was signed.
        chain_pem: the signer's certificate, then the authority that issued it.
        trust_pem: the roots that count here.
        role: that the signer must have.
        now: when the certificate must be valid.
        revoked: serial numbers (lower-case hexadecimal) of revoked certificates.

    Raises:
        IdentityError: the certificate is not of this federation, of another role, revoked or not valid now; or the
            signature is not by its key over this document.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = check_chain(chain_pem, trust_pem, now=now, serves=role is Role.GATEWAY)
    holder = holder_of(certificate)
    if holder.identity.role is not role:
        raise IdentityError(f"This must be signed by a {role}, and is signed by {holder.identity}.")
    if holder.serial in revoked:
        raise IdentityError(f"The certificate of {holder.identity} has been revoked.")
    if not is_sealed_by(certificate.public_bytes(Encoding.PEM), signature, context, document):
        raise IdentityError(f"{holder.identity} has not signed this: the signature does not fit it.")
    return holder


def _statement(context: str, document: Mapping[str, Any]) -> bytes:
    return b"datalab seal v1\n" + context.encode() + b"\n" + canonical_json(dict(document))
