"""Estimates with standard errors, normal-theory intervals and p-values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z95 = 1.959963984540054


def coefficient_table(labels: Sequence[str], estimate: Floats, covariance: Floats) -> list[dict[str, Any]]:
    """Return one entry for each coefficient: estimate, standard error, z, two-sided p, and the 95 % interval (Wald)."""
    entries = []
    for label, value, variance in zip(labels, estimate.tolist(), np.diag(covariance).tolist(), strict=True):
        error = math.sqrt(variance)
        z = value / error
        entries.append(
            {
                "name": label,
                "estimate": value,
                "standard_error": error,
                "z": z,
                "p": math.erfc(abs(z) / math.sqrt(2)),
                "low": value - Z95 * error,
                "high": value + Z95 * error,
            }
        )
    return entries
