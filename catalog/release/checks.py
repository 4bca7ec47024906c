"""What a run's files may tell of single people: checks for whoever decides, over numbers and never over meaning.

A model can hold what it was trained on. What can be seen from outside is whether there is room for it: more numbers
than rows, an array as long as the data, a table with small cells, a file that cannot be looked into. None of these
proves a disclosure and none disproves one (Hundepool et al., Statistical Disclosure Control, 2012); a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catalog.release.records import Check, CheckName

BYTES_PER_VALUE = 8
TEXT_PER_VALUE = 32
"""Bytes of text, names of numbers among them, that could carry a number, however they are written."""


@dataclass(frozen=True)
class Look:
    """What is seen of a file from outside.

    Attributes:
        name: of the file.
        bytes: its size.
        known: whether it could be looked into.
        values: how many numbers it holds.
        longest: the most elements along one axis of one array, or lines of a table.
        cells: counts of people (or rows, events) that it tells.
    """

    name: str
    bytes: int
    known: bool = True
    values: int = 0
    longest: int = 0
    cells: tuple[int, ...] = ()


@dataclass(frozen=True)
class Site:
    """A dataset of the run: rows, columns, and the smallest count that its contract lets anyone see."""

    node: str
    rows: int
    columns: int
    threshold: int


def checks(looks: Sequence[Look], sites: Sequence[Site], examples: Mapping[str, int]) -> tuple[Check, ...]:
    """Return what was found.

    Args:
        looks: the files, but for the run card, which the lab itself writes.
        sites: the datasets.
        examples: rows that each node said it trained on, by name, where it said so.
    """
    rows = sum(one.rows for one in sites)
    threshold = max((one.threshold for one in sites), default=0)
    shortest = min((min(one.rows, examples.get(one.node, one.rows)) for one in sites), default=0)  # an app may say more
    found = [_examples(one, examples) for one in sites]
    values = sum(one.values + len(one.name) // TEXT_PER_VALUE for one in looks)  # a name can carry numbers, too
    found.append(Check(name=CheckName.PARAMETERS, holds=values <= rows, found=values, limit=rows))
    size, most = sum(one.bytes for one in looks), sum(one.rows * one.columns for one in sites) * BYTES_PER_VALUE
    found.append(Check(name=CheckName.SIZE, holds=size <= most, found=size, limit=most))
    for look in looks:
        found.append(Check(name=CheckName.FILE_TYPE, holds=look.known, subject=look.name, found=look.bytes))
        if not look.known:
            continue
        half = max(1, shortest // 2)  # a part for training or testing is a copy, too
        found.append(
            Check(
                name=CheckName.COPIED_ROWS,
                holds=look.longest < half,
                subject=look.name,
                found=look.longest,
                limit=half,
            )
        )
        small = sum(0 < cell < threshold for cell in look.cells)
        found.append(
            Check(name=CheckName.SMALL_CELLS, holds=not small, subject=look.name, found=small, limit=threshold)
        )
    return tuple(found)


def _examples(site: Site, examples: Mapping[str, int]) -> Check:
    told = examples.get(site.node, site.rows)
    return Check(
        name=CheckName.EXAMPLES,
        holds=told >= site.threshold,
        subject=f"node {site.node}",
        found=told,
        limit=site.threshold,
    )
