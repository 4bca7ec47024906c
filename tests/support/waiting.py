"""Waiting for what another process does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 30.0


def wait_until(true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Return as soon as ``true()`` holds; fails after ``seconds``, naming ``what`` was waited for."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


def events(log: Path) -> list[dict[str, Any]]:
    """Return the entries of an audit log."""
    return [json.loads(line) for line in log.read_bytes().splitlines()]
