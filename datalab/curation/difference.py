"""What changes between two versions of a data contract, and for whom that breaks something.

Who trains on the harmonised table (its *consumers*) relies on the promise that its columns, units, meaning and domains
stay: a domain may become narrower, never wider. Who hands in files (a *holder*) relies on the opposite, that a file
which kept the old contract keeps the new one, and that no more leaves the house than was agreed. A change that breaks
either needs a new major version (Semantic Versioning 2.0.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from datalab.curation.contract import Contract, Domain, Export, ExportColumn, Harmonised, HarmonisedColumn, Level
from datalab.errors import BadInputError

Breaks = Literal["", "consumers", "holders"]
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        where: the part, such as ``harmonised.age``.
        what: what is other, in a sentence.
        breaks: for whom it breaks something, or empty.
    """

    where: str
    what: str
    breaks: Breaks = ""


def compare(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Return what is other in ``new``, what breaks something first."""
    changes = [*_of_all(old, new), *_of_harmonised(old.harmonised, new.harmonised), *_of_export(old.export, new.export)]
    return tuple(sorted(changes, key=lambda change: not change.breaks))


def check_version(old: Contract, new: Contract, changes: tuple[Change, ...]) -> None:
    """Raise BadInputError unless the version of ``new`` says what kind of change it is."""
    if not changes and old.version == new.version:
        return
    before, after = _version(old), _version(new)
    breaking = [change for change in changes if change.breaks]
    if breaking and after[0] <= before[0]:
        raise BadInputError(
            f"{len(breaking)} of the changes break something, so the contract needs a new major version.",
            where=f"{new.id} {old.version} → {new.version}",
            next_step=f"Set the version to {before[0] + 1}.0.0, or take these changes back.",
        )
    if changes and after <= before:
        raise BadInputError(
            "The contract has changed and its version has not risen.",
            where=f"{new.id} {old.version} → {new.version}",
            next_step=f"Set the version to {before[0]}.{before[1] + 1}.0.",
        )


def _version(contract: Contract) -> tuple[int, int, int]:
    found = _VERSION.fullmatch(contract.version)
    if found is None:
        raise BadInputError(
            f"The version {contract.version} is not of the form 1.2.3, so no change can be told from it.",
            where=contract.id,
            next_step="Number contracts major.minor.patch.",
        )
    major, minor, patch = (int(part) for part in found.groups())
    return major, minor, patch


def _of_all(old: Contract, new: Contract) -> Iterator[Change]:
    if old.id != new.id:
        yield Change("contract", f"It is another contract: {old.id} became {new.id}.", "consumers")
    if old.disclosure_threshold != new.disclosure_threshold:
        told = f"The disclosure threshold was {old.disclosure_threshold} and is {new.disclosure_threshold}"
        if new.disclosure_threshold < old.disclosure_threshold:
            yield Change("contract", f"{told}, so more may be told of small groups.", "holders")
        else:
            yield Change("contract", f"{told}.")
    if old.stop_on_reject != new.stop_on_reject:
        if new.stop_on_reject:
            yield Change("contract", "One bad record now stops the whole file.", "holders")
        else:
            yield Change("contract", "A bad record no longer stops the whole file.")
    if (old.title, old.description) != (new.title, new.description):
        yield Change("contract", "Its title or description is other.")


def _of_harmonised(old: Harmonised, new: Harmonised) -> Iterator[Change]:
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    for name in (name for name in before if name not in after):
        yield Change(f"harmonised.{name}", "The column is gone.", "consumers")
    for name in (name for name in after if name not in before):
        yield Change(f"harmonised.{name}", "The column is new.")
    for name in (name for name in before if name in after):
        yield from _of_harmonised_column(before[name], after[name])
    if old.outcome != new.outcome:
        yield Change("harmonised", f"The outcome was {old.outcome} and is {new.outcome}.", "consumers")
    exclusions = [{one.name: one.expression.sql for one in table.exclusions} for table in (old, new)]
    if exclusions[0] != exclusions[1]:
        yield Change("harmonised", "Other rows are left out than before.", "consumers")
    for rule in sorted(set(old.quality) - set(new.quality), key=lambda rule: rule.name):
        yield Change("harmonised", f"The quality rule {rule.name} is gone or other.", "consumers")
    for rule in sorted(set(new.quality) - set(old.quality), key=lambda rule: rule.name):
        yield Change("harmonised", f"The quality rule {rule.name} is new.")
    if old.sort_by != new.sort_by:
        yield Change("harmonised", "The rows are sorted otherwise.")


def _of_harmonised_column(old: HarmonisedColumn, new: HarmonisedColumn) -> Iterator[Change]:
    where = f"harmonised.{old.name}"
    if old.expression.sql != new.expression.sql:
        yield Change(where, "It is computed otherwise, so its values may mean something else.", "consumers")
    yield from _of_meaning(where, (old.unit, old.description), (new.unit, new.description))
    yield from _of_domain(where, old.domain, new.domain, wider="consumers", narrower="")


def _of_export(old: Export, new: Export) -> Iterator[Change]:
    for name in ("format", "records", "resource_type", "delimiter", "header", "encoding", "decimal", "missing"):
        if getattr(old, name) != getattr(new, name):
            told = f"Files are written otherwise: {name} was {getattr(old, name)!r} and is {getattr(new, name)!r}."
            yield Change("export", told, "holders")
    if replace(old.privacy, k=0, quasi_identifiers=()) != replace(new.privacy, k=0, quasi_identifiers=()):
        yield Change("export", "What de-identification asks of classes or may leave out is other.", "holders")
    if (old.k, old.quasi_identifiers) != (new.k, new.quasi_identifiers):
        weaker = new.k < old.k or not set(old.quasi_identifiers) <= set(new.quasi_identifiers)
        told = f"Classes had {old.k} or more alike in {', '.join(old.quasi_identifiers) or 'nothing'}, and have {new.k}"
        told += f" in {', '.join(new.quasi_identifiers) or 'nothing'}."
        yield Change("export", told, "holders" if weaker else "")
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    for name in (name for name in before if name not in after):
        yield Change(f"export.{name}", "The column is no longer read.")
    for name in (name for name in after if name not in before):
        required = after[name].domain.required
        told = "The column is new and required." if required else "The column is new."
        yield Change(f"export.{name}", told, "holders" if required or not after[name].drop else "")
    for name in (name for name in before if name in after):
        yield from _of_export_column(before[name], after[name])


def _of_export_column(old: ExportColumn, new: ExportColumn) -> Iterator[Change]:
    where = f"export.{old.name}"
    if old.header != new.header:
        yield Change(where, f"Files called it {old.header}, and now {new.header}.", "holders")
    elif old.path != new.path:
        yield Change(where, "It is read from another place of the record.", "holders")
    if _leaving(old) != _leaving(new):
        plain = not (old.drop or old.pseudonym or old.shift or new.pseudonym or new.shift) and old.levels[1:] == ()
        bands = len(new.levels) == 1 and new.band is not None and (not old.levels or old.band is not None)
        less = new.drop or (plain and bands and new.band is not None and new.band % (old.band or 1) == 0)
        told = f"What leaves the holder was {_leaving(old)} and is {_leaving(new)}."
        yield Change(where, told, "" if less else "holders")
    yield from _of_meaning(where, (old.unit, old.description), (new.unit, new.description))
    yield from _of_domain(where, old.domain, new.domain, wider="", narrower="holders")


def _leaving(column: ExportColumn) -> str:
    if column.drop:
        return "nothing"
    if column.pseudonym is not None:
        return f"a pseudonym of {column.pseudonym}"
    if column.shift:
        return f"a date moved by up to {column.shift} days"
    return " or ".join(map(_level, column.levels)) or "the value"


def _level(level: Level) -> str:
    if level.kind == "band":
        return f"a band of {level.width}"
    if level.kind == "prefix":
        return f"the first {level.width} characters"
    if level.kind == "period":
        return f"the {level.period}"
    return (
        "its chapter" if level.kind == "chapter" else f"its group ({', '.join(sorted({to for _, to in level.pairs}))})"
    )


def _of_meaning(where: str, old: tuple[str | None, str], new: tuple[str | None, str]) -> Iterator[Change]:
    if old[0] != new[0]:
        breaks: Breaks = "consumers" if where.startswith("harmonised") else "holders"
        yield Change(where, f"Its unit was {old[0] or 'not said'} and is {new[0] or 'not said'}.", breaks)
    if old[1] != new[1]:
        yield Change(where, "Its description is other.")


def _of_domain(where: str, old: Domain, new: Domain, *, wider: Breaks, narrower: Breaks) -> Iterator[Change]:
    """Tell how a domain has changed.

    Args:
        where: the column.
        old: its domain before.
        new: its domain now.
        wider: for whom it breaks something that the new domain has more values.
        narrower: for whom it does that it has fewer.
    """
    if (old.type, old.format) != (new.type, new.format):
        kinds = [one.format if one.type == "date" else one.type for one in (old, new)]
        yield Change(where, f"Its type was {kinds[0]} and is {kinds[1]}.", wider or narrower)
        return
    for told in _more(old, new):
        yield Change(where, f"It may now {told}.", wider)
    for told in _more(new, old):
        yield Change(where, f"It may no longer {told}.", narrower)


def _more(old: Domain, new: Domain) -> Iterator[str]:
    """Say which values ``new`` has that ``old`` has not."""
    if old.required and not new.required:
        yield "be missing"
    if old.codes and not new.codes:
        yield "be other than a code of the list"
    elif old.codes and (more := [str(code) for code in new.codes if code not in old.codes]):
        yield f"be {', '.join(more)}"
    for bound, beyond, word in ((old.minimum, new.minimum, "below"), (old.maximum, new.maximum, "above")):
        if bound is not None and (beyond is None or (beyond < bound if word == "below" else beyond > bound)):  # type: ignore[operator]
            yield f"be {word} {bound}"
