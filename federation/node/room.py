"""Whether there is room on the node's disk: on a full one nothing is begun, and what was begun is begun again."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

from federation.errors import FederationError

ROOM_BYTES = 32 << 20
"""What has to be free before anything is begun: logs and ledger must be written in any case."""
LOOK_SECONDS = 0.25


class FullError(FederationError):
    """There is no room on the node's disk."""

    def __init__(self) -> None:
        super().__init__("This node's disk is full; its operator has to make room.")


class Room:
    """The disk on which the node's home lies.

    Args:
        home: of the node.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    @property
    def left(self) -> bool:
        """Whether there is enough room to begin something."""
        disk = os.statvfs(self._home)
        return disk.f_bavail * disk.f_frsize >= ROOM_BYTES

    def check(self) -> None:
        """Raise FullError if there is not."""
        if not self.left:
            raise FullError

    async def wait(self, seconds: float) -> None:
        """Wait until there is room.

        Raises:
            FullError: there was none within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not self.left:
            if time.monotonic() > deadline:
                raise FullError
            await asyncio.sleep(LOOK_SECONDS)

    def ran_out(self, error: Exception) -> bool:
        """Whether ``error`` is likely to come of a full disk."""
        out = isinstance(error, FullError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC)
        return out or not self.left
