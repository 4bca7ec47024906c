"""What the lab says of a snapshot of its catalog, and of the backups that became of them."""

from __future__ import annotations

from pydantic import AwareDatetime

from catalog.records import Line, Record, Slug, StoredFile

TAKEN = "backup.taken"
"""The catalog was copied; ``folder`` says where somebody has put the backup that became of it."""
KEPT = "backup.kept"
"""The lab's own backup of everything up to event ``until`` is whole, and no earlier one is left in ``folder``."""
BACKUP = "backup"
"""Who acts where the lab takes a backup by itself."""


class Snapshot(Record):
    """Both catalog files as they were at one moment, copied into a folder of the home, and the objects they name."""

    id: Line
    created: AwareDatetime
    events: int
    objects: tuple[StoredFile, ...]


class KeptBackup(Record):
    """The newest backup in a folder.

    Attributes:
        folder: as whoever took it has named it; on a machine of theirs.
        taken: when.
        by: who took it; ``BACKUP``, where the lab does by itself.
        erased_since: records of the erasures after it: it holds those people until it is taken again, or destroyed.
    """

    folder: Line
    taken: AwareDatetime
    by: Line
    erased_since: tuple[Slug, ...]
