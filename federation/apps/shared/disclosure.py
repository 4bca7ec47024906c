"""How few persons a number may be about before it must not leave a site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FLOOR = 5
"""The fewest, whatever a run asks for: whoever approves the app approves this."""


def minimum_cell(config: Mapping[str, Any]) -> int:
    """Return k: the run's ``minimum-cell``, and never less than ``FLOOR``."""
    return max(FLOOR, int(config["minimum-cell"]))


def require_at_least(count: int, k: int, what: str) -> None:
    """Raise ValueError if a number would be about fewer than ``k`` persons; the sentence stays in the node's log."""
    if count < k:
        raise ValueError(f"There are fewer than {k} {what} here, so that nothing may be said about them.")
