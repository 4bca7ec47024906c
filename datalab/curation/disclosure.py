"""Which counts may be told: small ones are hidden, and so many others that no sum or difference gives them away.

A table is a row of cells that make up a total that is told. Hidden are cells of fewer than ``k`` people (as soon as
one is not empty, the empty ones too), those that differ by fewer than ``k`` from what an earlier version told of the
same cell, and those that an earlier version has hidden. Then further cells are hidden until what is known of all hidden
ones together gives none of them away, and differs from each earlier version by nobody or by at least ``k`` people
(complementary suppression: Hundepool et al., Statistical Disclosure Control, 2012, chapter 4). Which further cells are
hidden depends on where they stand and not on what they hold, or the choice would tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count as count_from

Told = tuple[int | None, ...]
"""The cells of a table as they were told; None is hidden."""


def suppress(cells: Sequence[int], k: int, earlier: Sequence[tuple[int, Told]] = ()) -> Told:
    """Return the cells that may be told, the others as None.

    Args:
        cells: counts, whose sum is told.
        k: the smallest number of people that may be told.
        earlier: total and cells of the same table as earlier versions told them. Each total is the sum of ``cells`` or
            differs from it by at least ``k`` (``few``): otherwise nothing of the table may be told.
    """
    hidden = {
        index
        for index, count in enumerate(cells)
        if any(told[index] is None or few(count, told[index], k) for _, told in earlier)
    }
    if hidden or any(few(count, 0, k) for count in cells):
        hidden |= {index for index, count in enumerate(cells) if count < k}
    while hidden and len(hidden) < len(cells) and not _safe(cells, hidden, k, earlier):
        first = min(hidden)
        hidden.add(next(index % len(cells) for index in count_from(first) if index % len(cells) not in hidden))
    return tuple(None if index in hidden else count for index, count in enumerate(cells))


def few(one: int | None, other: int | None, k: int) -> bool:
    """Return whether two counts, both told, differ by somebody and by fewer than ``k`` people."""
    return one is not None and other is not None and 0 < abs(one - other) < k


def _safe(cells: Sequence[int], hidden: set[int], k: int, earlier: Sequence[tuple[int, Told]]) -> bool:
    """Return whether the hidden cells, of which the sum is known, hide one another."""
    together = sum(cells[index] for index in hidden)
    if len(hidden) < 2 or together < k or together == len(hidden) * (k - 1):  # then each would be k - 1
        return False
    for total, told in earlier:
        before = total - sum(one or 0 for index, one in enumerate(told) if index not in hidden)
        if few(together, before, k):
            return False
    return True
