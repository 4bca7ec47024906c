"""Which rows a site holds out to test a model on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def split(y: Floats, *, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row numbers for training and for testing: ``share`` of each class is held out."""
    rng = np.random.default_rng(seed)
    held_out = []
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        held_out.append(rows[: round(share * len(rows))])
    test = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(y)), test), test
