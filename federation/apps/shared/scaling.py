"""Mean imputation and standardisation, fitted from what each site adds up.

Matrices are ``(rows, features)`` float64 with NaN for missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """What fitting imputation and scaling needs of a site: per feature, over its observed values.

    Attributes:
        count: number of observed values, shape ``(features,)``.
        total: their sum.
        squares: the sum of their squares.
    """

    count: Floats
    total: Floats
    squares: Floats

    @classmethod
    def of(cls, x: Floats) -> Moments:
        """Return the moments of a matrix with NaN for missing."""
        seen = ~np.isnan(x)
        values = np.where(seen, x, 0.0)
        return cls(seen.sum(axis=0).astype(np.float64), values.sum(axis=0), (values**2).sum(axis=0))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)


@dataclass(frozen=True)
class Scaling:
    """Mean imputation, then standardisation; shape ``(features,)`` each."""

    mean: Floats
    scale: Floats

    @classmethod
    def fit(cls, moments: Moments) -> Scaling:
        """Return the scaling of the pooled data whose moments these are; a constant feature keeps scale 1."""
        count = np.maximum(moments.count, 1.0)
        mean = moments.total / count
        scale = np.sqrt(np.maximum(moments.squares / count - mean**2, 0.0))
        return cls(mean, np.where(scale > 1e-9, scale, 1.0))

    def apply(self, x: Floats) -> Floats:
        """Return ``x`` imputed and standardised."""
        return (np.where(np.isnan(x), self.mean, x) - self.mean) / self.scale
