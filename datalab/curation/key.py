"""The holder's key: from it come pseudonyms and date shifts, and without it nobody can repeat either.

It lies in a file of its own that only its owner may read, is handed to the function that makes pseudonyms and to
nothing else, and never becomes part of a query, a log or a result.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from datalab.errors import BadInputError, NotFoundError, NotWritableError

_BYTES = 32
_PSEUDONYM_BYTES = 9
"""72 bits: among 10 million people, two with one pseudonym are expected once in 100 million such files."""


@dataclass(frozen=True, repr=False)
class PseudonymKey:
    """A secret of at least 32 bytes; it is never shown."""

    secret: bytes

    def pseudonym(self, domain: str, person: str) -> tuple[str, int]:
        """Return a person's pseudonym of 12 letters and digits, and a number from 0 to 2^64 - 1 for the date shift.

        Both are parts of one HMAC-SHA256 (RFC 2104) over the domain and what the holder calls the person.
        """
        digest = hmac.digest(self.secret, f"{domain}\0{person}".encode(), hashlib.sha256)
        # Letters stand for the two signs of Base64 that a spreadsheet could take for the start of a formula.
        name = base64.b64encode(digest[:_PSEUDONYM_BYTES], altchars=b"xy").decode()
        return name, int.from_bytes(digest[16:24], "big")

    def __repr__(self) -> str:
        return "PseudonymKey(…)"


def load_key(path: Path) -> PseudonymKey:
    """Read a key from a file that only its owner may read.

    Raises:
        NotFoundError: there is no such file.
        BadInputError: others may read it, or it is no key.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no key {path}.", next_step="Make one with `datalab dataset keygen --out FILE`, and keep it safe."
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise BadInputError(
            f"{path} is not a key ({type(error).__name__}).", next_step="Name the key's file."
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise BadInputError(
            "Others than its owner may read the key.",
            where=str(path),
            next_step=f"chmod 600 {path}, or make a new one.",
        )
    try:
        secret = base64.urlsafe_b64decode(text.strip())
    except ValueError:
        secret = b""
    if len(secret) < _BYTES:
        raise BadInputError(f"{path} is not a key of {_BYTES} bytes.", next_step="Name the key's file.")
    return PseudonymKey(secret)


def make_key(path: Path) -> None:
    """Write a new random key to a file of mode 600; a file that is there is never overwritten.

    Raises:
        BadInputError: there is such a file.
        NotWritableError: it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInputError(
            f"{path} is there already.", next_step="Use it, or name another file: a new key makes other pseudonyms."
        ) from None
    except OSError as error:
        raise NotWritableError(f"Cannot write {path}: {error.strerror}.", next_step="Name another file.") from error
    with os.fdopen(handle, "wb") as file:
        file.write(base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)) + b"\n")
