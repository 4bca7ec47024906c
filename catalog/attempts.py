"""How often a password or code may be guessed wrongly: counts that a restart does not forget.

They are in memory, and each change is a line at the end of a file, which is read when the lab server starts.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from catalog.errors import TooManyAttemptsError
from datalab.home import write_atomically

WINDOW = 15 * 60.0
"""Seconds after which a failure no longer counts."""
PER_ACCOUNT = 10
PER_ADDRESS = 50
_MAX_KEYS = 10_000
_MAX_FILE = 4 << 20


class _Line(BaseModel):
    """One attempt, or that one has succeeded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    account: str
    address: str
    succeeded: bool = False


@dataclass
class Attempts:
    """Failures of the last quarter of an hour, by account and by the address that they came from.

    An attempt counts as a failure from its beginning until it has succeeded, so that many at once are no way around.

    Attributes:
        clock: the time, in seconds.
        file: where they are kept, or None for tests that need no file.
    """

    clock: Callable[[], float] = time.time
    file: Path | None = None
    _failures: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.file is not None:
            self._remember(self.file)

    def begin(self, account: str, address: str) -> bool:
        """Count an attempt; return whether it is the last one that the account has for now.

        Raises:
            TooManyAttemptsError: there have been too many failures.
        """
        moment = self.clock()
        with self._lock:
            of_account, of_address = self._recent(f"account {account}", moment), self._recent(f"from {address}", moment)
            if len(of_account) >= PER_ACCOUNT or len(of_address) >= PER_ADDRESS:
                raise TooManyAttemptsError(
                    "There have been too many attempts to sign in.",
                    next_step="Try again in a quarter of an hour.",
                )
            of_account.append(moment)
            of_address.append(moment)
            self._write(_Line(at=moment, account=account, address=address))
            return len(of_account) == PER_ACCOUNT

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of an account that has signed in, and this attempt from its address."""
        with self._lock:
            self._failures.pop(f"account {account}", None)
            of_address = self._failures.get(f"from {address}")
            if of_address:
                of_address.pop()
            self._write(_Line(at=self.clock(), account=account, address=address, succeeded=True))

    def _remember(self, file: Path) -> None:
        """Read what a server before this one has written; go on with a file that holds what still counts."""
        since = self.clock() - WINDOW
        for line in _compacted(file, since):
            if line.succeeded:
                self._failures.pop(f"account {line.account}", None)
                if of_address := self._failures.get(f"from {line.address}"):
                    of_address.pop()
            else:
                self._recent(f"account {line.account}", line.at).append(line.at)
                self._recent(f"from {line.address}", line.at).append(line.at)

    def _write(self, line: _Line) -> None:
        if self.file is not None:
            with self.file.open("ab") as file:
                file.write(line.model_dump_json().encode() + b"\n")
                size = file.tell()
            if size > _MAX_FILE:
                _compacted(self.file, self.clock() - WINDOW)

    def _recent(self, key: str, moment: float) -> deque[float]:
        times = self._failures.setdefault(key, deque())
        self._failures.move_to_end(key)
        while times and times[0] <= moment - WINDOW:
            times.popleft()
        while len(self._failures) > _MAX_KEYS:
            self._failures.popitem(last=False)
        return times


def _compacted(file: Path, since: float) -> list[_Line]:
    """Return the lines of a file that are younger than ``since``, and leave no others in it."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    kept = [line for line in map(_Line.model_validate_json, lines) if line.at > since]
    write_atomically(file, b"".join(line.model_dump_json().encode() + b"\n" for line in kept))
    return kept
