"""What processes weigh, and what they have used."""

from __future__ import annotations

from pathlib import Path

import psutil


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10^6 bytes)."""
    return round(psutil.Process(pid).memory_info().rss / 1e6, 1)


def peak_mb(pid: int) -> float:
    """Return the most resident memory that a process has had so far, in MB (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (kibibytes,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return round(kibibytes * 1024 / 1e6, 1)


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds that a process has used so far, in user mode and in the kernel."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def worker_pid(holder: int) -> int | None:
    """Return the largest process below an agent or runner: the one in its sandbox; None if it has ended."""
    children = psutil.Process(holder).children(recursive=True)
    return max(children, key=lambda child: child.memory_info().rss).pid if children else None
