"""Which counts of a table a site must hide, so that none below ``k`` can be read or worked out.

Whoever reads a table also knows its margins. A hidden count can be worked out if it is the only one in its row or
column, or, as a chain of subtractions, if it is a bridge of the graph whose nodes are rows and columns and whose edges
are the hidden cells (Gusfield, A graph theoretic approach to statistical data security, SIAM J. Comput. 1988).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


def hide_in_list(counts: Counts, k: int) -> Mask:
    """Return which counts of a list with a known total are hidden: those below ``k``, and the smallest ones beside."""
    hidden = counts < k
    _complete(counts, hidden, k)
    return hidden


def hide_in_table(counts: Counts, k: int, hidden: Mask | None = None) -> Mask:
    """Return which counts of a table with known margins are hidden.

    Args:
        counts: ``(rows, columns)``.
        k: no count below it is shown.
        hidden: what must be hidden besides, because a margin is.
    """
    hidden = (counts < k) | (np.zeros(counts.shape, dtype=bool) if hidden is None else hidden)
    before = -1
    while hidden.sum() > before:
        before = int(hidden.sum())
        for row, mask in [*zip(counts, hidden, strict=True), *zip(counts.T, hidden.T, strict=True)]:
            _complete(row, mask, k)
        for row, column in np.argwhere(hidden):
            if _is_bridge(hidden, row, column):
                _hide_smallest_beside(counts, hidden, row, column)
    return hidden


def _complete(counts: Counts, hidden: Mask, k: int) -> None:
    """Hide more of one row, in place, until its hidden counts are two or more and ``k`` persons or more together."""
    while hidden.any() and not hidden.all() and (hidden.sum() < 2 or counts[hidden].sum() < k):
        hidden[np.argmin(np.where(hidden, np.iinfo(np.int64).max, counts))] = True


def _is_bridge(hidden: Mask, row: int, column: int) -> bool:
    """Return whether a hidden cell is on no cycle, so that the margins give it away."""
    others = hidden.copy()
    others[row, column] = False
    rows, columns = np.zeros(hidden.shape[0], dtype=bool), np.zeros(hidden.shape[1], dtype=bool)
    rows[row] = True
    reached = 0
    while rows.sum() + columns.sum() > reached:
        reached = int(rows.sum() + columns.sum())
        columns |= others[rows].any(axis=0)
        rows |= others[:, columns].any(axis=1)
    return not columns[column]


def _hide_smallest_beside(counts: Counts, hidden: Mask, row: int, column: int) -> None:
    beside = np.zeros(hidden.shape, dtype=bool)
    beside[row], beside[:, column] = True, True
    candidates = np.where(beside & ~hidden, counts, np.iinfo(np.int64).max)
    at = np.unravel_index(np.argmin(candidates), counts.shape)
    if beside[at] and not hidden[at]:
        hidden[at] = True
