"""How often a password or code may be guessed wrongly: counts of one process, forgotten when it ends."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from catalog.errors import TooManyAttemptsError

WINDOW = 15 * 60.0
"""Seconds after which a failure no longer counts."""
PER_ACCOUNT = 10
PER_ADDRESS = 50
_MAX_KEYS = 10_000


@dataclass
class Attempts:
    """Failures of the last quarter of an hour, by account and by the address that they came from.

    An attempt counts as a failure from its beginning until it has succeeded, so that many at once are no way around.
    """

    clock: Callable[[], float] = time.monotonic
    _failures: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

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
            return len(of_account) == PER_ACCOUNT

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of an account that has signed in, and this attempt from its address."""
        with self._lock:
            self._failures.pop(f"account {account}", None)
            of_address = self._failures.get(f"from {address}")
            if of_address:
                of_address.pop()

    def _recent(self, key: str, moment: float) -> deque[float]:
        times = self._failures.setdefault(key, deque())
        self._failures.move_to_end(key)
        while times and times[0] <= moment - WINDOW:
            times.popleft()
        while len(self._failures) > _MAX_KEYS:
            self._failures.popitem(last=False)
        return times
