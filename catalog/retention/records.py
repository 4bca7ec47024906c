"""What has outlived its time."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from catalog.records import Line, Record


class Due(Record):
    """Something whose time is over.

    Attributes:
        kind: what it is.
        subject: which, as in the audit chain.
        since: when its time ended.
        held: the legal hold under which it stays all the same, or None.
    """

    kind: Literal["version", "upload", "curation", "artifacts", "journal", "sessions"]
    subject: Line
    since: AwareDatetime
    held: Line | None = None
