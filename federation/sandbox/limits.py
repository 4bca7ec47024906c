"""How much of a machine foreign code may use."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


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


def machine_memory(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of memory that there are here: the machine's, or a container's where that has less.

    Args:
        group: the control group (version 2) that a container sees as the uppermost.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        said = (group / "memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return machine
    return min(machine, int(said)) if said.isdigit() else machine
