"""Generalised linear models with their canonical links, one Fisher scoring step at a time.

A design matrix is ``(rows, 1 + columns)``, the intercept first; outcome and offset are ``(rows,)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regression.shared.scaling import Floats, Scaling

FAMILIES = ("gaussian", "binomial", "poisson")


@dataclass(frozen=True)
class Sums:
    """What a step needs of a site.

    Attributes:
        information: ``X' W X``, ``(p, p)``.
        score: ``X' (y - mu)``, ``(p,)``.
        deviance: of the model at hand.
        rows: how many there are.
    """

    information: Floats
    score: Floats
    deviance: float
    rows: int

    @classmethod
    def of(cls, family: str, beta: Floats, design: Floats, y: Floats, offset: Floats) -> Sums:
        """Return a site's sums for the coefficients ``beta``."""
        fitted, weight = mean_and_variance(family, design @ beta + offset)
        return cls(design.T @ (design * weight[:, None]), design.T @ (y - fitted), _deviance(family, y, fitted), len(y))

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.information + other.information,
            self.score + other.score,
            self.deviance + other.deviance,
            self.rows + other.rows,
        )

    def step(self) -> Floats:
        """Return what is to be added to the coefficients.

        Raises:
            ValueError: the columns depend on each other.
        """
        if np.linalg.matrix_rank(self.information, hermitian=True) < len(self.score):
            raise ValueError("The features depend on each other linearly: leave one of them out.")
        return np.linalg.solve(self.information, self.score)

    def dispersion(self, family: str) -> float:
        """Return the residual variance of a linear model, 1 for the others."""
        return self.deviance / (self.rows - len(self.score)) if family == "gaussian" else 1.0

    def covariance(self, family: str) -> Floats:
        """Return the covariance of the coefficients, from the expected information."""
        return np.asarray(np.linalg.inv(self.information) * self.dispersion(family), dtype=np.float64)


def mean_and_variance(family: str, eta: Floats) -> tuple[Floats, Floats]:
    """Return the mean of the outcome for a linear predictor, and its variance function.

    Raises:
        ValueError: there is no such family.
    """
    if family == "gaussian":
        return eta, np.ones_like(eta)
    if family == "binomial":
        mean = np.asarray(0.5 * (1.0 + np.tanh(0.5 * eta)))
        return mean, mean * (1.0 - mean)
    if family == "poisson":
        mean = np.exp(eta)
        return mean, mean
    raise ValueError(f"There is no family {family!r}; there are {', '.join(FAMILIES)}.")


def _deviance(family: str, y: Floats, fitted: Floats) -> float:
    if family == "gaussian":
        return float(((y - fitted) ** 2).sum())
    if family == "binomial":
        return float(-2 * np.log(np.where(y == 1, fitted, 1 - fitted)).sum())
    ratio = np.where(y > 0, y / fitted, 1.0)
    return float(2 * (y * np.log(ratio) - (y - fitted)).sum())


def unscale(beta: Floats, covariance: Floats, scaling: Scaling) -> tuple[Floats, Floats]:
    """Return coefficients and covariance in the features' own units, from those for scaled features."""
    back = np.diag(np.concatenate([[1.0], 1.0 / scaling.scale]))
    back[0, 1:] = -scaling.mean / scaling.scale
    return back @ beta, back @ covariance @ back.T
