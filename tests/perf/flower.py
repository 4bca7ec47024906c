"""Stock Flower, to compare with: a SuperLink and SuperNodes with TLS, started by Flower's own commands."""

from __future__ import annotations


def measure() -> float:
    raise NotImplementedError
