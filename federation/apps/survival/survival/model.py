"""Kaplan-Meier with Greenwood's variance, and Cox's partial likelihood with Breslow's handling of ties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from survival.grid import Counts, Ints
from survival.shared.inference import Z95
from survival.shared.scaling import Floats


@dataclass(frozen=True)
class RiskSums:
    """What a step of Cox regression needs of a site: sums of ``exp(x beta)`` over who is at risk at each time.

    Attributes:
        zero: ``(intervals,)``.
        first: of ``x exp(x beta)``, ``(intervals, columns)``.
        second: of ``x x' exp(x beta)``, ``(intervals, columns, columns)``.
        of_events: sum of ``x`` over all events, ``(columns,)``.
    """

    zero: Floats
    first: Floats
    second: Floats
    of_events: Floats

    @classmethod
    def of(cls, beta: Floats, x: Floats, interval: Ints, event: Floats, intervals: int) -> RiskSums:
        """Return a site's sums for the coefficients ``beta``."""
        risk = np.exp(x @ beta)
        columns = x.shape[1]
        zero, first = np.zeros(intervals), np.zeros((intervals, columns))
        second = np.zeros((intervals, columns, columns))
        for number in range(intervals):
            rows = interval == number
            weighted = x[rows] * risk[rows, None]
            zero[number], first[number], second[number] = risk[rows].sum(), weighted.sum(axis=0), x[rows].T @ weighted
        zero, first, second = (np.asarray(one[::-1].cumsum(axis=0)[::-1]) for one in (zero, first, second))
        return cls(zero, first, second, x.T @ event)

    def __add__(self, other: RiskSums) -> RiskSums:
        return RiskSums(
            self.zero + other.zero,
            self.first + other.first,
            self.second + other.second,
            self.of_events + other.of_events,
        )

    def score(self, events: Floats) -> Floats:
        """Return the gradient of the partial likelihood, given the number of events at each time."""
        return np.asarray(self.of_events - events @ (self.first / self.zero[:, None]))

    def information(self, events: Floats) -> Floats:
        """Return minus its second derivative."""
        mean = self.first / self.zero[:, None]
        outer = np.einsum("ji,jk->jik", mean, mean)
        return np.asarray(np.einsum("j,jik->ik", events, self.second / self.zero[:, None, None] - outer))

    def log_likelihood(self, beta: Floats, events: Floats) -> float:
        """Return the partial log-likelihood."""
        return float(self.of_events @ beta - events @ np.log(self.zero))

    def step(self, events: Floats) -> Floats:
        """Return what is to be added to the coefficients.

        Raises:
            ValueError: the columns depend on each other.
        """
        information = self.information(events)
        if np.linalg.matrix_rank(information, hermitian=True) < len(self.of_events):
            raise ValueError("The features depend on each other linearly: leave one of them out.")
        return np.linalg.solve(information, self.score(events))


def life_table(counts: Counts, grid: Floats) -> dict[str, Any]:
    """Return the Kaplan-Meier estimate with Greenwood's standard error and a log-log 95 % interval, time by time."""
    at_risk = counts.at_risk
    died = np.divide(counts.events, at_risk, out=np.zeros_like(at_risk), where=at_risk > 0)
    survival = np.cumprod(1 - died)
    terms = np.divide(
        counts.events,
        at_risk * (at_risk - counts.events),
        out=np.zeros_like(at_risk),
        where=at_risk > counts.events,
    )
    error = survival * np.sqrt(np.cumsum(terms))
    inside = (survival > 0) & (survival < 1)
    log = np.log(survival, out=np.full_like(survival, -1.0), where=inside)
    spread = np.where(inside, Z95 * error / np.where(inside, survival * log, 1.0), 0.0)
    below = np.flatnonzero(survival <= 0.5)
    return {
        "time": grid.tolist(),
        "at_risk": at_risk.tolist(),
        "events": counts.events.tolist(),
        "survival": survival.tolist(),
        "standard_error": error.tolist(),
        "low": (survival ** np.exp(-spread)).tolist(),
        "high": (survival ** np.exp(spread)).tolist(),
        "median": float(grid[below[0]]) if len(below) else None,
    }
