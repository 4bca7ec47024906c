"""Logistic regression in numpy, and the area under the ROC curve with a bootstrap interval.

Matrices are ``(rows, features)`` float64; labels are ``(rows,)`` with 0 and 1. Missing values are NaN until
``Scaling.apply`` has put the mean in their place.
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


def predict(weights: Floats, bias: Floats, x: Floats) -> Floats:
    """Return the probability of the event for each row."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * (x @ weights + bias[0]))))


def log_loss(weights: Floats, bias: Floats, x: Floats, y: Floats) -> float:
    """Return the mean negative log-likelihood."""
    margin = x @ weights + bias[0]
    return float(np.mean(np.logaddexp(0.0, margin) - y * margin))


def descend(
    weights: Floats, bias: Floats, x: Floats, y: Floats, *, steps: int, rate: float, l2: float
) -> tuple[Floats, Floats]:
    """Return weights and bias after ``steps`` of gradient descent on all rows, with an L2 penalty on the weights."""
    for _ in range(steps):
        residual = predict(weights, bias, x) - y
        weights = weights - rate * (x.T @ residual / len(y) + l2 * weights)
        bias = bias - rate * residual.mean()
    return weights, bias


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
    """
    rng = np.random.default_rng(seed)
    drawn = np.array([auc(score[i], y[i]) for i in (rng.integers(0, len(y), len(y)) for _ in range(resamples))])
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return {"value": auc(score, y), "low": float(low), "high": float(high)}


def split(y: Floats, *, share: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row numbers for training and for testing: ``share`` of each class is held out."""
    rng = np.random.default_rng(seed)
    held_out = []
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        held_out.append(rows[: round(share * len(rows))])
    test = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(y)), test), test
