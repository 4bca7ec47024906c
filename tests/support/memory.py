"""What processes weigh."""

from __future__ import annotations

import psutil


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10^6 bytes)."""
    return round(psutil.Process(pid).memory_info().rss / 1e6, 1)


def worker_mb(agent: int) -> float:
    """Return the memory of the largest process below the agent: the worker, inside its sandbox."""
    return max(rss_mb(child.pid) for child in psutil.Process(agent).children(recursive=True))
