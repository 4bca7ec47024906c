"""Files of the lab's home that other processes change, and the gateway looks at again and again."""

from __future__ import annotations

import time
from pathlib import Path

_SETTLED = 10**8
"""Nanoseconds: what was written less long ago may be written again without its time changing."""


class Watched:
    """A file, or a folder whose files are replaced; it need not be there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0

    def changed(self) -> bool:
        """Return whether it may have changed since the last time that this was asked."""
        try:
            seen = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            seen = 0
        if seen == self._seen and time.time_ns() - seen > _SETTLED:
            return False
        self._seen = seen
        return True
