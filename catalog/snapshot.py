"""What the lab says of a snapshot of its catalog."""

from __future__ import annotations

from pydantic import AwareDatetime

from catalog.records import Line, Record, StoredFile


class Snapshot(Record):
    """Both catalog files as they were at one moment, copied into a folder of the home, and the objects they name."""

    id: Line
    created: AwareDatetime
    events: int
    objects: tuple[StoredFile, ...]
