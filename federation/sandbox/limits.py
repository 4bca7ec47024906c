"""How much of a machine foreign code may use."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one sandbox.

    Attributes:
        memory_bytes: of all its processes together; no single one gets more either.
        processes: processes and threads at the same time; 0 leaves them unlimited.
        cpu_seconds: processor time of all its processes together, from start to end.
        disk_bytes: in the one folder that it may write to.
        files: in that folder, and in its own /tmp.
        scratch_bytes: in its own /tmp, and in its /dev/shm.
        open_files: of each process.
    """

    memory_bytes: int
    processes: int = 64
    cpu_seconds: int = 86_400
    disk_bytes: int = 16 << 30
    files: int = 100_000
    scratch_bytes: int = 256 << 20
    open_files: int = 256

    def to_json(self) -> str:
        """Return the limits as a command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Limits:
        """Return what ``to_json`` wrote."""
        return cls(**json.loads(text))
