"""How good predicted probabilities are: area under the ROC curve with a bootstrap interval, and calibration.

Scores and labels are ``(rows,)``; labels are 0 and 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auc(score: Floats, y: Floats) -> float:
    """Return the area under the ROC curve as the Mann-Whitney statistic, ties counted half; NaN with one class only."""
    order = np.argsort(score, kind="stable")
    _, inverse, counts = np.unique(score[order], return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    rank = (upper - (counts - 1) / 2.0)[inverse]
    positive = y[order] == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if n1 == 0 or n0 == 0:
        return float("nan")
    return float((rank[positive].sum() - n1 * (n1 + 1) / 2.0) / (n1 * n0))


def auc_interval(score: Floats, y: Floats, *, resamples: int, seed: int) -> dict[str, float]:
    """Return the AUC with its percentile bootstrap 95 % interval as ``value``, ``low`` and ``high``.

    Resamples with one class only are left out (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
    Without resamples there is the value alone.
    """
    if resamples == 0:
        return {"value": auc(score, y)}
    rng = np.random.default_rng(seed)
    drawn = np.array([auc(score[i], y[i]) for i in (rng.integers(0, len(y), len(y)) for _ in range(resamples))])
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return {"value": auc(score, y), "low": float(low), "high": float(high)}


def accuracy(score: Floats, y: Floats) -> float:
    """Return the share of rows that a probability of one half classes rightly."""
    return float(np.mean((score > 0.5) == (y == 1)))
