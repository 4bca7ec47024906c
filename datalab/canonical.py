"""One way to turn a record into bytes, and bytes into a digest, wherever something is signed or chained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Encode ``value`` as JSON with sorted keys and no white space.

    This is the RFC 8785 form for what is stored here: strings, integers, booleans, null, lists and objects; floats
    follow Python's shortest repr.

    Raises:
        ValueError: NaN or an infinity, which JSON cannot carry.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 lower-case hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
