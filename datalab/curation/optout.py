"""Who has opted out, known by marks: a keyed digest of the holder's pseudonym, so that no list names anybody."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class OptOuts:
    """The people of one data holder whose rows are left out.

    Attributes:
        key: of the digest; a secret of the installation.
        holder: the data holder's identifier.
        marks: the digests of their pseudonyms.
    """

    key: bytes
    holder: str
    marks: frozenset[str]

    def among(self, pseudonyms: Iterable[str]) -> list[str]:
        """Return those of some pseudonyms whose people have opted out."""
        if not self.marks:
            return []
        return [one for one in pseudonyms if mark_of(self.key, self.holder, one) in self.marks]

    def __repr__(self) -> str:
        return f"OptOuts(holder={self.holder!r}, marks={len(self.marks)})"


def mark_of(key: bytes, holder: str, pseudonym: str) -> str:
    """Return the mark of a person: HMAC-SHA256 (RFC 2104) over holder and pseudonym."""
    return hmac.new(key, f"{holder}\0{pseudonym}".encode(), hashlib.sha256).hexdigest()
