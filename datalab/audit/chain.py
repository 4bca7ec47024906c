"""The hash chain itself: how one entry commits to all entries before it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from datalab.canonical import canonical_json
from datalab.errors import BadInputError

GENESIS = "0" * 64
"""What stands for the hash before the first entry."""

_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


@dataclass(frozen=True, order=True)
class Head:
    """Where a chain stands: enough for anyone who knows it to notice a later change to what it covers.

    Attributes:
        n: number of the last entry, which is also how many there are; 0 for an empty chain.
        hash: hash of that entry, 64 lower-case hexadecimal characters.
    """

    n: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.n}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str(head)`` wrote.

        Raises:
            BadInputError: the text is not ``number:hash``.
        """
        found = _HEAD.fullmatch(text)
        if found is None:
            raise BadInputError(
                "An audit head must be a number, a colon and 64 hexadecimal characters.",
                next_step="Copy it as `datalab audit verify` prints it.",
            )
        return cls(int(found[1]), found[2])


def entry_hash(previous: str, body: Mapping[str, Any]) -> str:
    """Return the hash of an entry: SHA-256 over the previous hash and the body as canonical JSON.

    Args:
        previous: hash of the entry before it (its 64 characters), ``GENESIS`` for the first.
        body: the entry without ``previous`` and ``hash``; JSON values with string keys only.

    Returns:
        64 lower-case hexadecimal characters.
    """
    return hashlib.sha256(previous.encode("ascii") + canonical_json(dict(body))).hexdigest()
