"""A stream of bytes under AES-256-GCM, piece by piece, in bounded memory.

Each piece is encrypted and authenticated for itself; its nonce is its number and whether it is the last, so that pieces
can neither be taken out, doubled, put in another order nor cut off at the end without being noticed (STREAM: Hoang,
Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015).
A key seals one stream only: its nonces begin at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from datalab.errors import DatalabError

KEY_BYTES = 32
PIECE_BYTES = 1 << 20
"""Plain bytes of a piece; the last one may be shorter, and is empty where there was nothing to seal."""
TAG_BYTES = 16
_NUMBER_BYTES = 11


class SealBrokenError(DatalabError):
    """What was sealed was changed, cut off, put elsewhere, or sealed with another key."""

    def __init__(self) -> None:
        super().__init__(
            "What was stored encrypted cannot be opened: it was changed or cut off, or its key is another one.",
            next_step="Do not use it. Restore it from a backup, or have it handed in again.",
        )


def seal(chunks: Iterable[bytes], key: bytes, *, context: bytes) -> Iterator[bytes]:
    """Encrypt what ``chunks`` yield, pieces of any size.

    Args:
        chunks: the plain bytes.
        key: 32 random bytes that seal nothing else.
        context: what the stream is; whoever opens it has to name the same.
    """
    cipher = AESGCM(key)
    for number, piece, last in _pieces(chunks, PIECE_BYTES):
        yield cipher.encrypt(_nonce(number, last=last), piece, context)


def unseal(chunks: Iterable[bytes], key: bytes, *, context: bytes) -> Iterator[bytes]:
    """Decrypt what ``seal`` made, in chunks of any size; nothing is yielded that was not authenticated.

    Raises:
        SealBrokenError: it is not whole, not what it was, or of another key or context.
    """
    cipher = AESGCM(key)
    for number, piece, last in _pieces(chunks, PIECE_BYTES + TAG_BYTES):
        try:
            yield cipher.decrypt(_nonce(number, last=last), piece, context)
        except InvalidTag:
            raise SealBrokenError from None


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number, bytes and whether it is the last of each piece of ``size`` bytes; there is at least one."""
    number, held = 0, bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) > size:  # more is there: this piece is not the last
            yield number, bytes(held[:size]), False
            del held[:size]
            number += 1
    yield number, bytes(held), True


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big") + bytes([last])
