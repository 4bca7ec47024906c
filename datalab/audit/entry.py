"""One entry of an audit log, as a line of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from datalab.audit.chain import Head, entry_hash
from datalab.canonical import canonical_json

_KEYS = {"n", "time", "event", "details", "previous", "hash"}


class EntryError(ValueError):
    """A line is not an entry, or not what its own hash says it was."""


@dataclass(frozen=True)
class Entry:
    """What happened, and where it stands in the chain.

    Attributes:
        n: number, from 1 without gaps.
        time: when it was written, UTC, ISO 8601 with milliseconds.
        event: what happened, such as ``permit.refused``.
        details: JSON values; never a value from personal data, never a secret.
        previous: hash of the entry before it.
        hash: hash of this one.
    """

    n: int
    time: str
    event: str
    details: dict[str, Any]
    previous: str
    hash: str

    @property
    def head(self) -> Head:
        """Where the chain stands after this entry."""
        return Head(self.n, self.hash)


def next_entry(after: Head, event: str, details: dict[str, Any]) -> Entry:
    """Make the entry that follows ``after``, stamped with the present time."""
    body = {
        "n": after.n + 1,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": event,
        # Through JSON and back, so that what is hashed is what a reader of the line will see.
        "details": json.loads(canonical_json(details)),
    }
    return Entry(**body, previous=after.hash, hash=entry_hash(after.hash, body))


def encode_entry(entry: Entry) -> bytes:
    """Return the line of ``entry``, without the newline."""
    return canonical_json(vars(entry))


def decode_entry(line: bytes) -> Entry:
    """Read a line (without its newline) and check it against its own hash.

    Raises:
        EntryError: it is not exactly what ``encode_entry`` writes, or its hash does not fit.
    """
    try:
        fields = json.loads(line)
        if not isinstance(fields, dict) or fields.keys() != _KEYS or canonical_json(fields) != line:
            raise EntryError("is not an audit entry")
        entry = Entry(**fields)
        body = {key: fields[key] for key in ("n", "time", "event", "details")}
        genuine = type(entry.n) is int and entry_hash(str(entry.previous), body) == entry.hash
    except EntryError:
        raise
    except (ValueError, RecursionError) as error:
        raise EntryError("is not an audit entry") from error
    if not genuine:
        raise EntryError("was changed: its hash does not fit its content")
    return entry
