"""Where backups of a lab were put, as far as it knows, and whom they hold still although they were erased since."""

from __future__ import annotations

from catalog.snapshot import KEPT, TAKEN, KeptBackup
from catalog.store import Store

_MANY = 1_000_000


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
