"""Where backups of a lab were put, as far as it knows, and whom they hold still although they were erased since."""

from __future__ import annotations

from pydantic import AwareDatetime

from catalog.records import Line, Record, Slug
from catalog.store import Store

TAKEN = "backup.taken"
"""The catalog was copied; ``folder`` says where somebody has put the backup that became of it."""
KEPT = "backup.kept"
"""The lab's own backup of everything up to event ``until`` is whole, and no earlier one is left in ``folder``."""
BACKUP = "backup"
"""Who acts where the lab takes a backup by itself."""
_MANY = 1_000_000


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


def kept_backups(store: Store) -> list[KeptBackup]:
    """Return the newest backup in each folder that is known, by folder."""
    erasures = [
        (one.n, one.subject.rpartition("/")[2]) for one in store.find_events(action="erasure.done", limit=_MANY)
    ]
    found: dict[str, KeptBackup] = {}
    events = [one for action in (TAKEN, KEPT) for one in store.find_events(action=action, limit=_MANY)]
    for event in sorted(events, key=lambda one: -one.n):
        folder = str(event.details.get("folder", ""))
        if folder and folder not in found:
            until = int(event.details.get("until", event.n))
            since = tuple(name for n, name in reversed(erasures) if n > until)
            found[folder] = KeptBackup(folder=folder, taken=event.time, by=event.actor, erased_since=since)  # type: ignore[arg-type]  # pydantic reads ISO 8601
    return [found[folder] for folder in sorted(found)]
