"""A few bytes under AES-256-GCM, each message with a random nonce before it."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from datalab.sealing.stream import TAG_BYTES, SealBrokenError

_NONCE_BYTES = 12
OVERHEAD = _NONCE_BYTES + TAG_BYTES
"""By how many bytes a sealed message is longer."""


def seal_message(data: bytes, key: bytes, *, context: bytes) -> bytes:
    """Encrypt what fits into memory; a key may seal 2^32 messages (NIST SP 800-38D, 8.3)."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, context)


def open_message(sealed: bytes, key: bytes, *, context: bytes) -> bytes:
    """Decrypt a message.

    Raises:
        SealBrokenError: it was changed, or sealed with another key or for another context.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        raise SealBrokenError from None
