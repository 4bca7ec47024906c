"""Brings a run's folder back from the lab's object storage, on the machine that had it or on another one.

The lab's home has to be there but for the run's folder: its secrets open what is stored, and its authority gives the
run's next runner a certificate; the key of the last one is gone with the folder. The nodes know the run by its offer,
which is the same, and answer from what they have recorded whatever was done and not shipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import structlog

from datalab.home import Home, sync_folder, write_atomically
from federation.journal import whole_records
from federation.pb.journal_pb2 import JournalEntry
from federation.pki.identity import Role
from federation.pki.local import invite
from federation.run import RunFolder
from federation.shipped import Head, JournalBrokenError, Segment, ShippedRun, length
from federation.wire.protocol import check_run_id, referenced

log = structlog.get_logger()
_BUFFER_MODE = 0o640
"""A sandbox that root made reads it as the folder's group."""


def recover(home: Home, run: str) -> RunFolder | None:
    """Return the folder of a run that has not ended, brought back if it is not there; None where nothing is stored.

    Args:
        home: the lab's.
        run: the run's id.

    Raises:
        JournalBrokenError: what is stored is not what was shipped.
        RunFailedError: another process is at it.
        StorageError, NotFoundError: object store or gateway do not answer.
    """
    folder = RunFolder(home.path / "runs" / check_run_id(run))
    if folder.spec.exists():
        return folder
    shipped = ShippedRun(home, "scheduler", run)
    if (head := shipped.head()) is None:
        return None
    home.folder("runs", run)
    with folder.recovering():
        if not folder.spec.exists():
            _bring_back(home, folder, shipped, head)
    return folder


def _bring_back(home: Home, folder: RunFolder, shipped: ShippedRun, head: Head) -> None:
    """Write the files of a run's folder; the one that makes it a run's comes last."""
    if head.run != folder.path.name:
        raise JournalBrokenError(folder.path.name, "it is another run's")
    spec = json.loads(b"".join(shipped.fetch(head.spec)))
    shipped.fetch_file([spec["app_sha256"]], folder.bundle)
    shipped.fetch_file(_digests(head.journal), folder.journal)
    shipped.fetch_file(_digests(head.events), folder.events)
    folder.buffers.mkdir(exist_ok=True, mode=0o700)
    for sha256 in _named(folder.journal, length(head.journal)):
        shipped.fetch_file([sha256.hex()], folder.buffers / sha256.hex(), mode=_BUFFER_MODE)
    for one in (folder.buffers, folder.path):
        sync_folder(one)
    write_atomically(folder.shipped, head.model_dump_json().encode())
    write_atomically(folder.token, invite(home, Role.RUNNER, folder.path.name).encode())
    spec["lab_home"] = str(home.path.resolve())
    write_atomically(folder.spec, json.dumps(spec, indent=2).encode())
    log.info("brought back from object storage", run=folder.path.name, bytes=length(head.journal))


def _digests(segments: tuple[Segment, ...]) -> list[str]:
    return [one.sha256 for one in segments]


def _named(journal: Path, size: int) -> Iterator[bytes]:
    """Yield the buffers that a journal's replies name, each once."""
    seen: set[bytes] = set()
    with journal.open("rb") as file:
        for _, record in whole_records(file.fileno(), 0, size):
            new = referenced(JournalEntry.FromString(record).reply.content).keys() - seen
            seen |= new
            yield from new
