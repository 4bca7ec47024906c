"""Logistic regression by gradient descent in numpy.

Matrices are ``(rows, features)`` float64; labels are ``(rows,)`` with 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from logistic.shared.scaling import Floats


def predict(weights: Floats, bias: Floats, x: Floats) -> Floats:
    """Return the probability of the event for each row."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * (x @ weights + bias[0]))))


def log_loss(weights: Floats, bias: Floats, x: Floats, y: Floats) -> float:
    """Return the mean negative log-likelihood."""
    margin = x @ weights + bias[0]
    return float(np.mean(np.logaddexp(0.0, margin) - y * margin))


def descend(
    weights: Floats,
    bias: Floats,
    x: Floats,
    y: Floats,
    *,
    steps: int,
    rate: float,
    l2: float,
    batch: int = 0,
    proximal: float = 0.0,
    rng: np.random.Generator | None = None,
) -> tuple[Floats, Floats]:
    """Return weights and bias after some steps of gradient descent.

    Args:
        weights: where it starts, ``(features,)``.
        bias: the same, ``(1,)``.
        x: the rows.
        y: their labels.
        steps: how many.
        rate: learning rate.
        l2: penalty on the weights.
        batch: rows of a step, drawn epoch by epoch without replacement; 0 takes all rows in every step.
        proximal: mu of FedProx (Li et al., 2020): pulls weights and bias back to where they started.
        rng: draws the batches.
    """
    start_weights, start_bias = weights, bias
    batches = _batches(len(y), batch, rng or np.random.default_rng(0))
    for _ in range(steps):
        rows = next(batches)
        xs, ys = x[rows], y[rows]
        residual = predict(weights, bias, xs) - ys
        pull_weights, pull_bias = proximal * (weights - start_weights), proximal * (bias - start_bias)
        weights = weights - rate * (xs.T @ residual / len(ys) + l2 * weights + pull_weights)
        bias = bias - rate * (residual.mean() + pull_bias)
    return weights, bias


def _batches(rows: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp] | slice]:
    while True:
        if size == 0:
            yield slice(None)
            continue
        order = rng.permutation(rows)
        yield from (order[start : start + size] for start in range(0, rows, size))
