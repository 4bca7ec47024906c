"""What a harvest would change: the catalogue as it was just read, compared with what is on record of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from catalog.harvest.records import MAX_PROBLEMS, Description, Harvest, RemoteEntry, SeenPage, Source

FEW = 5
"""So many entries may go at once, whatever share of a catalogue they are; but never all of them."""


@dataclass
class Gathered:
    """What the pages of a catalogue said.

    Attributes:
        pages: in their order.
        entries: datasets by URI, with the page that each stands on.
        kept: pages that are as they were, and were not sent again.
        troubled: URIs of datasets that are there and could not be taken over.
    """

    pages: list[SeenPage] = field(default_factory=list)
    entries: dict[str, tuple[Description, str]] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    troubled: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        write: entries to be kept as they are here, new and withdrawn ones included.
        added: how many are new, or back again.
        updated: how many are described differently.
        withdrawn: how many are gone.
        unchanged: how many are as they were.
        note: what to know besides.
    """

    write: tuple[RemoteEntry, ...]
    added: int
    updated: int
    withdrawn: int
    unchanged: int
    note: str = ""


def compare(source: Source, known: Mapping[str, RemoteEntry], gathered: Gathered, moment: datetime) -> Plan:
    """Return what a harvest would change.

    Args:
        source: the catalogue.
        known: its entries on record by URI, withdrawn ones included.
        gathered: what it says now.
        moment: of the harvest.
    """
    write: list[RemoteEntry] = []
    added = updated = unchanged = 0
    for uri, (described, page) in gathered.entries.items():
        entry = known.get(uri)
        if entry is None or entry.withdrawn is not None:
            added += 1
            write.append(_entry(source, described, page, moment, found=entry.found if entry else moment))
        elif entry.described != described:
            updated += 1
            write.append(_entry(source, described, page, moment, found=entry.found))
        else:
            unchanged += 1
            if entry.page != page:
                write.append(entry.model_copy(update={"page": page}))
    missing = [one for uri, one in known.items() if one.withdrawn is None and uri not in gathered.entries]
    gone = [one for one in missing if one.page not in gathered.kept and one.described.uri not in gathered.troubled]
    unchanged += len(missing) - len(gone)
    note = _incomplete(gathered, added + updated + unchanged) if gone else ""
    if note:
        unchanged, gone = unchanged + len(gone), []
    write += [one.model_copy(update={"withdrawn": moment, "changed": moment}) for one in gone]
    return Plan(tuple(write), added, updated, len(gone), unchanged, note)


def refusal(plan: Plan, share: float) -> str:
    """Return why a plan is not carried out, or nothing: an answer that is empty or torn must not remove a catalogue.

    Args:
        plan: what a harvest would change.
        share: of a catalogue's entries that may go at once, from 0 to 1.
    """
    before = plan.withdrawn + plan.updated + plan.unchanged
    if plan.withdrawn == 0 or (plan.withdrawn < before and plan.withdrawn <= max(FEW, share * before)):
        return ""
    return (
        f"{plan.withdrawn} of {before} entries are gone from the catalogue, more than the {share:.0%} that may go at "
        "once. Nothing was changed. If it is right, harvest again and withdraw them (--allow-removals)."
    )


def result(plan: Plan, gathered: Gathered, moment: datetime) -> Harvest:
    """Return what came of a harvest that was carried out."""
    changes = plan.added + plan.updated + plan.withdrawn
    problems = [one for page in gathered.pages for one in page.problems]
    return Harvest(
        at=moment,
        outcome="changed" if changes else "unchanged",
        added=plan.added,
        updated=plan.updated,
        withdrawn=plan.withdrawn,
        unchanged=plan.unchanged,
        problem_count=sum(page.problem_count for page in gathered.pages),
        problems=tuple(problems[:MAX_PROBLEMS]),
        message=plan.note,
    )


def _entry(source: Source, described: Description, page: str, moment: datetime, *, found: datetime) -> RemoteEntry:
    key = hashlib.sha256(described.uri.encode()).hexdigest()[:16]
    return RemoteEntry(
        id=f"{source.id}.{key}",
        source=source.id,
        source_name=source.name,
        country=source.country,
        described=described,
        page=page,
        found=found,
        changed=moment,
    )


def _incomplete(gathered: Gathered, seen: int) -> str:
    """Return that fewer datasets came than the catalogue says it has, or nothing."""
    stated = max((page.total or 0 for page in gathered.pages), default=0)
    came = seen + sum(page.problem_count for page in gathered.pages)
    if came >= stated:
        return ""
    return f"The catalogue says that it has {stated} datasets, and {came} came: nothing was withdrawn."
