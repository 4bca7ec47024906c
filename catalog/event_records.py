"""Entries of the audit chain."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from catalog.records import Line, Record, Sha256


class Event(Record):
    """One entry of the audit chain: who did what to which record, and when.

    ``hash`` covers ``previous`` and everything else here, so no entry can be changed, dropped or moved alone;
    ``time`` (UTC, ISO 8601) is kept as text, because that is what was hashed.
    """

    n: Annotated[int, Field(ge=1)]
    time: Line
    actor: Line
    action: Line
    subject: Line
    details: dict[str, Any]
    previous: Sha256
    hash: Sha256


class EventsVerification(Record):
    """Result of recomputing the audit chain: ``broken_at`` is the first entry that does not fit, or None."""

    events: int
    head: Sha256
    broken_at: int | None
