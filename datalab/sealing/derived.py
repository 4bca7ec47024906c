"""Keys made from one secret: another one for each purpose, and none of them tells of the others or of the secret."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from datalab.sealing.stream import KEY_BYTES


def derived_key(secret: bytes, purpose: bytes) -> bytes:
    """Return the 32 bytes that belong to a purpose (HKDF with SHA-256, RFC 5869).

    Args:
        secret: at least 32 random bytes.
        purpose: what the key is for; the same one gives the same key.
    """
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(secret)
