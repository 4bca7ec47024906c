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


def evaluate_site(score: Floats, y: Floats, *, resamples: int, seed: int) -> dict[str, float]:
    """Return what one site says of predicted probabilities: counts, AUC and calibration, with 95 % intervals.

    ``slope`` is that of a logistic regression of the outcome on the logit of the prediction (Cox, 1958): 1 is right,
    less is overfitted.
    """
    area = auc_interval(score, y, resamples=resamples, seed=seed)
    slope, error = _calibration_slope(score, y)
    return {
        "rows": float(len(y)),
        "events": float(y.sum()),
        "expected": float(score.sum()),
        **{f"auc-{key}": value for key, value in area.items()},
        "auc-error": _auc_error(area["value"], int(y.sum()), int(len(y) - y.sum())),
        "slope": slope,
        "slope-error": error,
    }


def evaluate_overall(sites: list[dict[str, float]]) -> dict[str, float]:
    """Return the same over all sites, from what each has said.

    The AUC is over pairs of patients of the same site, so that no score has to leave one; slopes are weighted by their
    precision; observed to expected is of the sums, with the interval of a Poisson count.
    """
    pairs = np.array([one["events"] * (one["rows"] - one["events"]) for one in sites])
    weights = pairs / pairs.sum()
    area = float(weights @ [one["auc-value"] for one in sites])
    area_error = float(np.sqrt(weights**2 @ np.array([one["auc-error"] for one in sites]) ** 2))
    precision = 1 / np.array([one["slope-error"] for one in sites]) ** 2
    slope = float(precision @ [one["slope"] for one in sites] / precision.sum())
    slope_error = float(precision.sum() ** -0.5)
    events, expected = (sum(one[key] for one in sites) for key in ("events", "expected"))
    ratio, spread = events / expected, float(np.exp(1.96 / np.sqrt(events)))
    return {
        "rows": sum(one["rows"] for one in sites),
        "events": events,
        **_interval("auc", area, area_error),
        **_interval("slope", slope, slope_error),
        "observed-to-expected": ratio,
        "observed-to-expected-low": ratio / spread,
        "observed-to-expected-high": ratio * spread,
    }


def _interval(name: str, value: float, error: float) -> dict[str, float]:
    return {f"{name}-value": value, f"{name}-low": value - 1.96 * error, f"{name}-high": value + 1.96 * error}


def _auc_error(area: float, events: int, others: int) -> float:
    """Return the standard error of an AUC (Hanley and McNeil, Radiology 1982)."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (events - 1) * (q1 - area**2) + (others - 1) * (q2 - area**2)
    return float(np.sqrt(max(variance, 0.0) / (events * others)))


def _calibration_slope(score: Floats, y: Floats) -> tuple[float, float]:
    inside = np.clip(score, 1e-12, 1 - 1e-12)
    x = np.column_stack([np.ones(len(y)), np.log(inside / (1 - inside))])
    beta = np.array([0.0, 1.0])
    for _ in range(25):
        fitted = 0.5 * (1 + np.tanh(0.5 * x @ beta))
        information = x.T @ (x * (fitted * (1 - fitted))[:, None])
        step = np.linalg.solve(information, x.T @ (y - fitted))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[1]), float(np.sqrt(np.linalg.inv(information)[1, 1]))
