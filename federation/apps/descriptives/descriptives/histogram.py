"""Quantiles from counts in bins that are so wide that each has ``k`` persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """One site's counts; values beyond the declared bounds are counted at them.

    Attributes:
        edges: ``(bins + 1,)``, rising; bins are closed on the right.
        counts: ``(bins,)``.
    """

    edges: Floats
    counts: Floats

    @classmethod
    def of(cls, values: Floats, edges: Floats, k: int) -> Histogram:
        """Count values, and merge neighbouring bins until each has ``k``; nothing is counted if all have not."""
        inside = np.clip(values, edges[0], edges[-1])
        place = np.maximum(np.searchsorted(edges, inside, side="left") - 1, 0)
        counts = np.bincount(place, minlength=len(edges) - 1)
        if counts.sum() < k:
            return cls(edges[[0, -1]], np.zeros(1))
        kept, merged, open_count = [float(edges[0])], [], 0
        for number, count in enumerate(counts.tolist()):
            open_count += count
            if open_count >= k and counts[number + 1 :].sum() not in range(1, k):
                kept.append(float(edges[number + 1]))
                merged.append(float(open_count))
                open_count = 0
        if kept[-1] != edges[-1]:  # nothing but empty bins is left
            kept[-1] = float(edges[-1])
        return cls(np.array(kept), np.array(merged))

    def below(self, at: Floats) -> tuple[Floats, Floats, Floats]:
        """Return how many values are at most ``at``: at least, at a guess (even spread within bins), and at most."""
        total = np.concatenate([[0.0], self.counts.cumsum()])
        number = np.searchsorted(self.edges, at, side="right") - 1
        least = total[np.clip(number, 0, len(total) - 1)]
        most = total[np.clip(np.searchsorted(self.edges, at, side="left"), 0, len(total) - 1)]
        return least, np.interp(at, self.edges, total), most


def quantile(sites: Sequence[Histogram], edges: Floats, share: float) -> dict[str, float | None]:
    """Return the pooled quantile: a value, and bounds between which that of the values (clipped) certainly lies."""
    least, guess, most = (np.sum(one, axis=0) for one in zip(*(site.below(edges) for site in sites), strict=True))
    wanted = share * guess[-1]
    if guess[-1] == 0:
        return {"value": None, "low": None, "high": None}
    return {
        "value": float(np.interp(wanted, guess, edges)),
        "low": float(edges[max(int(np.argmax(most >= wanted)) - 1, 0)]),
        "high": float(edges[int(np.argmax(least >= wanted))]),
    }
