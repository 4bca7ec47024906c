"""How often somebody may ask for what costs the lab much: searches, exports and uploads."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from catalog.errors import TooManyRequestsError

_MAX_KEYS = 10_000


class Kind(StrEnum):
    """What is limited."""

    SEARCH = "search"
    EXPORT = "export"
    UPLOAD = "upload"


class Rate(NamedTuple):
    """How many requests at once, and how many each second in the long run."""

    at_once: int
    per_second: float


RATES = {Kind.SEARCH: Rate(60, 10), Kind.EXPORT: Rate(60, 5), Kind.UPLOAD: Rate(30, 1)}
"""For one account, or, where none is named, for one network address."""
_KINDS = (
    (Kind.SEARCH, "GET", re.compile(r"/api/v1/search|/datasets")),
    (Kind.EXPORT, "GET", re.compile(r"/api/v1/datasets/[^/]+/(exports/.+|versions/.+/download)")),
    (Kind.EXPORT, "GET", re.compile(r"/api/v1/catalog/.+|/ga4gh/.+")),
    (Kind.UPLOAD, "POST", re.compile(r"/api/v1/(datasets/[^/]+/uploads|apps)|/register(/[^/]+)?/file(/whole|/end)?")),
)


def kind_of(method: str, path: str) -> Kind | None:
    """Return what a request counts as, or None for one that is not limited."""
    for kind, its_method, paths in _KINDS:
        if method == its_method and paths.fullmatch(path):
            return kind
    return None


@dataclass
class Limits:
    """Counts requests (token bucket); of at most 10,000 who asked last, the others begin anew.

    Attributes:
        clock: the time, in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _left: OrderedDict[tuple[Kind, str], tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, method: str, path: str, who: str) -> None:
        """Count a request of an account or address.

        Raises:
            TooManyRequestsError: it is one too many; the error says after how many seconds it would not be.
        """
        if (kind := kind_of(method, path)) is None:
            return
        rate, moment = RATES[kind], self.clock()
        with self._lock:
            left, at = self._left.pop((kind, who), (float(rate.at_once), moment))
            left = min(rate.at_once, left + (moment - at) * rate.per_second)
            self._left[kind, who] = (left - 1 if left >= 1 else left, moment)
            while len(self._left) > _MAX_KEYS:
                self._left.popitem(last=False)
        if left < 1:
            raise TooManyRequestsError(kind, wait=math.ceil((1 - left) / rate.per_second))
