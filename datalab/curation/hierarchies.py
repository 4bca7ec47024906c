"""What a contract says of de-identification, checked: how each column is generalised, and what classes must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from datalab.curation.contract import ExportColumn, Level, Privacy
from datalab.curation.extensions import (
    Action,
    Band,
    Icd10,
    Nuts,
    OfExport,
    Period,
    Prefix,
    PseudonymForm,
    ShiftDays,
    ValueMap,
)
from datalab.errors import BadInputError

MOST_NODES = 1_000
"""Combinations of levels that are tried at the most."""
_COUNTRY = 2
"""Characters of a country's code, which a NUTS code of level 0 is; each level adds one (Regulation (EC) 1059/2003)."""
_CATEGORY = 3


def with_action(column: ExportColumn, action: str | Action, *, contract: str, where: str) -> ExportColumn:
    """Return the column with what is done to it at its holder.

    Raises:
        BadInputError: that cannot be done to a column of this kind.
    """
    if isinstance(action, str):
        dropped = action in {"drop", "freeText"}
        if action == "freeText" and (column.domain.type != "string" or column.domain.codes):
            raise _cannot(column, "withheld as free text", "Free text is a string without a code list.", where)
        pseudonym = contract if action == "pseudonym" else None
        return replace(column, drop=dropped, free_text=action == "freeText", pseudonym=pseudonym)
    if isinstance(action, PseudonymForm):
        return replace(column, pseudonym=action.pseudonym)
    if isinstance(action, ShiftDays):
        if column.domain.type != "date":
            raise _cannot(column, "shifted in time", "Only dates are shifted.", where)
        return replace(column, shift=action.shift_days)
    return replace(column, levels=_levels(column, action, where))


def read_privacy(own: OfExport, columns: Sequence[ExportColumn], *, where: str) -> Privacy:
    """Return what classes of rows must be.

    Raises:
        BadInputError: it is about columns that cannot be so used, or dates are shifted of nobody known.
    """
    kept = {column.name: column for column in columns if not column.drop}
    _check_people(columns, where)
    if own.k_anonymity is None:
        if own.l_diversity or own.t_closeness:
            raise BadInputError(
                "l-diversity and t-closeness are about classes, and the contract names no quasi-identifiers.",
                where=where,
                next_step="Add datalab.kAnonymity.",
            )
        return Privacy()
    of_l = own.l_diversity.sensitive if own.l_diversity else []
    of_t = own.t_closeness.sensitive if own.t_closeness else []
    quasi = own.k_anonymity.quasi_identifiers
    for name in (*quasi, *of_l, *of_t):
        if name not in kept:
            raise BadInputError(
                f"{name} cannot be a quasi-identifier or sensitive: there is no such column, or it is dropped at the "
                "holder.",
                where=where,
                next_step=f"Choose from {', '.join(sorted(kept))}.",
            )
        if name in {*of_l, *of_t} and (name in quasi or not kept[name].domain.required or kept[name].levels):
            raise BadInputError(
                f"The sensitive column {name} must be required, kept as it is, and no quasi-identifier.",
                where=where,
                next_step="Add required: true to it, or leave it out.",
            )
    if prod(len(kept[name].levels) or 1 for name in quasi) > MOST_NODES:
        raise BadInputError(
            f"The hierarchies of the quasi-identifiers have more than {MOST_NODES:,} combinations of levels.",
            where=where,
            next_step="Declare fewer levels.",
        )
    return Privacy(
        k=own.k_anonymity.k,
        quasi_identifiers=tuple(quasi),
        loss_limit=own.k_anonymity.loss_limit,
        l=own.l_diversity.l if own.l_diversity else 1,
        l_sensitive=tuple(of_l),
        t=own.t_closeness.t if own.t_closeness else 1.0,
        t_sensitive=tuple(of_t),
    )


def _check_people(columns: Sequence[ExportColumn], where: str) -> None:
    people = [column for column in columns if column.pseudonym is not None]
    if len(people) > 1:
        raise BadInputError(
            "Two columns are pseudonymised; an export has one that tells persons apart.",
            where=where,
            next_step="Keep one, and drop the other.",
        )
    if any(column.shift for column in columns) and not (people and people[0].domain.required):
        raise BadInputError(
            "Dates are shifted by person, and no required column is pseudonymised that would tell persons apart.",
            where=where,
            next_step="Give the person's column required: true and datalab.deidentify: pseudonym.",
        )


def _levels(column: ExportColumn, action: Action, where: str) -> tuple[Level, ...]:
    domain = column.domain
    if isinstance(action, Band):
        from_zero = isinstance(domain.minimum, int | float) and domain.minimum >= 0
        if domain.type != "integer" or domain.codes or not from_zero:
            why = "Bands need an integer without a code list and with a minimum of 0 or more."
            raise _cannot(column, "prepared in bands", why, where)
        return tuple(Level("band", width) for width in _ascending(column, action.band, where))
    if isinstance(action, Period):
        if domain.type != "date":
            raise _cannot(column, "told by period", "Only dates have periods.", where)
        return tuple(Level("period", period=period) for period in action.period)
    if isinstance(action, ValueMap):
        return tuple(_map(column, one, where) for one in action.map)
    if domain.type != "string":
        raise _cannot(column, "shortened", "Only a string has a prefix.", where)
    if isinstance(action, Icd10):
        return tuple(Level("prefix", _CATEGORY) if one == "category" else Level("chapter") for one in action.icd10)
    assert isinstance(action, Prefix | Nuts)
    lengths = action.prefix if isinstance(action, Prefix) else [_COUNTRY + level for level in action.nuts]
    return tuple(Level("prefix", -length) for length in _ascending(column, [-one for one in lengths], where))


def _ascending(column: ExportColumn, widths: list[int], where: str) -> list[int]:
    if sorted(set(widths)) != widths:
        raise _cannot(column, "generalised in this order", "List the levels from the least to the most coarse.", where)
    return widths


def _map(column: ExportColumn, pairs: dict[str, str], where: str) -> Level:
    codes = {str(code) for code in column.domain.codes}
    if not codes or codes != set(pairs):
        why = "A map names each code of the column's list (enum), and no other."
        raise _cannot(column, "mapped", why, where)
    return Level("map", pairs=tuple(sorted(pairs.items())))


def _cannot(column: ExportColumn, what: str, why: str, where: str) -> BadInputError:
    return BadInputError(f"The column {column.name} cannot be {what}.", where=where, next_step=why)
