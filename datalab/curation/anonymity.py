"""k-anonymity, l-diversity and t-closeness of a table, in SQL over its classes, so that the table may be any size.

A *class* is the rows that are alike in the quasi-identifiers. Measured are the persons of the smallest class (its rows,
where the contract names no column that tells persons apart; k: Sweeney 2002), the fewest values that a sensitive
column has in a class (distinct l: Machanavajjhala et al. 2007), and the greatest distance between a class's
distribution of a sensitive column and that of all rows (t: Li et al. 2007): the earth mover's distance, of numbers over
their order and of texts with every two values equally far apart.

Distances are sums of whole numbers, so that neither the number of threads nor the order of rows changes a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from datalab.curation.contract import Export, Privacy
from datalab.curation.database import identifier
from datalab.curation.generalise import value_at

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Levels = dict[str, int]
"""A level of each column that is generalised."""


@dataclass(frozen=True)
class Measured:
    """A table's classes: how many, and what they keep.

    Attributes:
        k: persons of the smallest class; 0 without rows.
        l: fewest values of a sensitive column in a class; None where none is declared.
        t: greatest distance of a class from all rows, from 0 to 1; None where none is declared.
    """

    classes: int
    rows: int
    k: int
    l: int | None = None  # noqa: E741
    t: float | None = None


@dataclass(frozen=True)
class Choice:
    """How far to generalise, and what that leaves to suppress.

    Attributes:
        levels: of all columns with a hierarchy.
        suppressed: rows of the classes that fail even so, which the table ``failed`` names.
        kept: whether that is within the contract's limit.
    """

    levels: Levels
    suppressed: int
    kept: bool


def measure(
    database: DuckDBPyConnection, source: str, privacy: Privacy, ordered: frozenset[str], person: str | None = None
) -> Measured:
    """Measure a table as it is.

    Args:
        database: a connection that can read it.
        source: SQL that names it, with the quasi-identifiers and sensitive columns.
        privacy: names those.
        ordered: the sensitive columns that are numbers or dates.
        person: the column that tells persons apart, if rows are not persons.
    """
    keys = [*privacy.quasi_identifiers, *privacy.sensitive]
    _group(database, source, [*map(identifier, keys), _person(person)])
    _classes(database, privacy, {name: identifier(name) for name in keys}, ordered)
    least = ", ".join(["NULL", *(f"min(l{index})" for index, _ in enumerate(privacy.l_sensitive))])
    most = ", ".join(["NULL", *(f"max(t{index})" for index, _ in enumerate(privacy.t_sensitive))])
    found = database.execute(
        f"SELECT count(*), coalesce(sum(n), 0)::BIGINT, coalesce(min(people), 0), "
        f"least({least}), greatest({most}) FROM classes"
    ).fetchall()[0]
    return Measured(*found)


def choose(database: DuckDBPyConnection, rows: str, export: Export, ordered: frozenset[str]) -> Choice:
    """Find the least generalisation with which suppression stays within the limit (Samarati 2001).

    All combinations of levels of the same height are compared, the lowest height first; of those that will do, that
    which suppresses fewest rows is taken. Where none will do, that which suppresses fewest of all. The classes that
    fail are left in the table ``failed``.

    Args:
        database: a connection that can read the rows.
        rows: SQL that names the validated rows.
        export: of the contract.
        ordered: the sensitive columns that are numbers or dates.
    """
    privacy = export.privacy
    hierarchies = {one.name: len(one.levels) for one in export.columns if one.levels}
    if not privacy.quasi_identifiers:
        return Choice(dict.fromkeys(hierarchies, 0), 0, kept=True)
    (total,) = database.execute(f"SELECT count(*) FROM {rows}").fetchall()[0]
    _count_all_levels(database, rows, export)
    best: tuple[int, Levels] | None = None
    for nodes in _by_height({name: hierarchies.get(name, 1) for name in privacy.quasi_identifiers}):
        tried = [(_suppressed(database, export, node, ordered), tuple(node.values()), node) for node in nodes]
        suppressed, _, node = min(tried, key=lambda one: one[:2])
        if best is None or suppressed < best[0]:
            best = suppressed, node
        if suppressed <= privacy.loss_limit * total:
            break
    assert best is not None
    suppressed = _suppressed(database, export, best[1], ordered)
    levels = {name: best[1].get(name, 0) for name in hierarchies}
    return Choice(levels, suppressed, kept=suppressed <= privacy.loss_limit * total)


def _by_height(sizes: dict[str, int]) -> Iterator[list[Levels]]:
    nodes = [dict(zip(sizes, node, strict=True)) for node in product(*(range(size) for size in sizes.values()))]
    for height in range(sum(sizes.values()) - len(sizes) + 1):
        yield [node for node in nodes if sum(node.values()) == height]


def _count_all_levels(database: DuckDBPyConnection, rows: str, export: Export) -> None:
    """Make the table ``base``: each combination of values at all levels, and its rows.

    This is the only pass over the rows. They are first grouped as they are, so that only few values are generalised.
    """
    columns = {one.name: one for one in export.columns}
    privacy = export.privacy
    person = _person(None if export.person is None else export.person.name)
    names = [identifier(name) for name in (*privacy.quasi_identifiers, *privacy.sensitive)]
    values = [identifier(name) for name in privacy.sensitive]
    for name in privacy.quasi_identifiers:
        column = columns[name]
        values += [
            f"{value_at(column, level, identifier(name))} AS {_at(name, level)}" for level in range(len(column.levels))
        ] or [f"{identifier(name)} AS {_at(name, 0)}"]
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE base AS SELECT {', '.join(values)}, _person, sum(n)::BIGINT AS n "
        f"FROM (SELECT {', '.join(names)}, {person}, count(*) AS n FROM {rows} GROUP BY ALL) GROUP BY ALL"
    )


def _group(database: DuckDBPyConnection, rows: str, values: Sequence[str]) -> None:
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE base AS SELECT {', '.join(values)}, count(*) AS n FROM {rows} GROUP BY ALL"
    )


def _person(name: str | None) -> str:
    return f"{'NULL' if name is None else identifier(name)} AS _person"


def _at(name: str, level: int) -> str:
    return identifier(f"{name}@{level}")


def _suppressed(database: DuckDBPyConnection, export: Export, node: Levels, ordered: frozenset[str]) -> int:
    """Return how many rows are in classes that fail at these levels; the table ``failed`` has the classes.

    To leave rows out changes how the others are distributed, so t-closeness is measured again until no class fails.
    """
    privacy = export.privacy
    names = {name: _at(name, level) for name, level in node.items()}
    names |= {name: identifier(name) for name in privacy.sensitive}
    broken = [f"people < {privacy.k}"]
    broken += [f"l{index} < {privacy.l}" for index, _ in enumerate(privacy.l_sensitive)]
    broken += [f"t{index} > {privacy.t!r}" for index, _ in enumerate(privacy.t_sensitive)]
    without = ""
    while True:
        _classes(database, privacy, names, ordered, without=without)
        found = f"SELECT * FROM classes WHERE {' OR '.join(broken)}"
        if not without:
            database.execute(f"CREATE OR REPLACE TEMP TABLE failed AS {found}")
            without = "ANTI JOIN failed ON " + " AND ".join(
                f"failed.{identifier(name)} IS NOT DISTINCT FROM base.{names[name]}"
                for name in privacy.quasi_identifiers
            )
            more = True
        else:
            (count,) = database.execute(f"INSERT INTO failed BY NAME {found}").fetchall()[0]
            more = count > 0
        if not (more and privacy.t_sensitive):
            break
    (suppressed,) = database.execute("SELECT coalesce(sum(n), 0)::BIGINT FROM failed").fetchall()[0]
    return int(suppressed)


def _classes(
    database: DuckDBPyConnection, privacy: Privacy, names: dict[str, str], ordered: frozenset[str], *, without: str = ""
) -> None:
    """Make the table ``classes`` from ``base``: quasi-identifiers, ``n``, ``l0`` … and ``t0`` … of each class."""
    quasi = ", ".join(f"base.{names[name]} AS {identifier(name)}" for name in privacy.quasi_identifiers)
    keys = ", ".join(identifier(name) for name in privacy.quasi_identifiers)
    sensitive = "".join(f", base.{names[name]} AS {identifier(name)}" for name in privacy.sensitive)
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE parts AS SELECT dense_rank() OVER (ORDER BY {keys}) AS class, * "
        f"FROM (SELECT {quasi}{sensitive}, _person, sum(n)::BIGINT AS n FROM base {without} GROUP BY ALL)"
    )
    distinct = "".join(
        f", count(DISTINCT {identifier(name)}) AS l{index}" for index, name in enumerate(privacy.l_sensitive)
    )
    joined, far = "", ""
    for index, name in enumerate(privacy.t_sensitive):
        database.execute(
            f"CREATE OR REPLACE TEMP TABLE distances{index} AS "
            + (_ordered_distance(name) if name in ordered else _equal_distance(name)).format(t=f"t{index}")
        )
        joined += f" LEFT JOIN distances{index} USING (class)"
        far += f", t{index}"
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE classes AS SELECT * EXCLUDE (class) FROM ("
        f"SELECT class, {keys}, sum(n)::BIGINT AS n, "
        f"coalesce(nullif(count(DISTINCT _person), 0), sum(n)::BIGINT) AS people{distinct} FROM parts GROUP BY ALL)"
        + joined
    )


_COUNTS = """
    inside AS (SELECT class, {name} AS value, sum(n)::HUGEINT AS n FROM parts GROUP BY ALL),
    sizes AS (SELECT class, sum(n)::HUGEINT AS size FROM inside GROUP BY ALL),
    overall AS (SELECT value, sum(n)::HUGEINT AS n FROM inside GROUP BY ALL),
    total AS (SELECT sum(n)::HUGEINT AS total, count(*)::HUGEINT AS m FROM overall)
"""


def _equal_distance(name: str) -> str:
    """Half the sum of differences; values that a class has not count with their share of all rows."""
    return f"""
        WITH {_COUNTS.format(name=identifier(name))}
        SELECT class, (sum(abs(inside.n * total - overall.n * size)) + any_value(size * total) - sum(overall.n * size))
            ::DOUBLE / (2 * any_value(total * size))::DOUBLE AS {{t}}
        FROM inside JOIN sizes USING (class) JOIN overall USING (value), total GROUP BY class
    """


def _ordered_distance(name: str) -> str:
    """The sum of differences of the cumulative distributions, over m - 1 steps.

    A class's cumulative count stays the same from one of its values to the next, while that of all rows rises. So the
    sum over such a stretch follows from prefix sums and the place where the two cross, and no class has to be compared
    with every value.
    """
    return f"""
        WITH {_COUNTS.format(name=identifier(name))},
        ranked AS (SELECT value, row_number() OVER (ORDER BY value) AS r, sum(n) OVER (ORDER BY value) AS c
            FROM overall),
        summed AS (SELECT 0::BIGINT AS r, 0::HUGEINT AS c, 0::HUGEINT AS s
            UNION ALL SELECT r, c::HUGEINT, (sum(c) OVER (ORDER BY r))::HUGEINT FROM ranked),
        steps AS (SELECT class, r, (sum(n) OVER (PARTITION BY class ORDER BY r))::HUGEINT AS a,
                coalesce(lead(r) OVER (PARTITION BY class ORDER BY r), (SELECT m::BIGINT + 1 FROM total)) - 1 AS last
            FROM inside JOIN ranked USING (value)
            UNION ALL
            SELECT class, 1::BIGINT, 0::HUGEINT, min(r) - 1 FROM inside JOIN ranked USING (value) GROUP BY class),
        stretches AS (SELECT class, r AS first, last, a, size, (a * total) // size AS level, total
            FROM steps JOIN sizes USING (class), total WHERE last >= r),
        crossed AS (SELECT one.*, least(greatest(below.r, first - 1), last) AS cut
            FROM stretches AS one ASOF JOIN summed AS below ON one.level >= below.c),
        pieces AS (SELECT crossed.*, before.s AS s0, middle.s AS s1, after.s AS s2 FROM crossed
            JOIN summed AS before ON before.r = first - 1
            JOIN summed AS middle ON middle.r = cut JOIN summed AS after ON after.r = last),
        sums AS (SELECT class, sum(a * total * (cut - first + 1) - size * (s1 - s0) + size * (s2 - s1)
                - a * total * (last - cut)) AS far, any_value(size * total) AS unit FROM pieces GROUP BY class)
        SELECT class, CASE WHEN m > 1 THEN far::DOUBLE / (unit * (m - 1))::DOUBLE ELSE 0 END AS {{t}} FROM sums, total
    """


def ordered_columns(export: Export) -> frozenset[str]:
    """Return the sensitive columns whose values have an order."""
    kinds = {one.name: one.domain.type for one in export.columns}
    return frozenset(name for name in export.privacy.sensitive if kinds[name] != "string")


def limits_of(privacy: Privacy) -> Sequence[str]:
    """Say in words what a class must be."""
    said = [f"at least {privacy.k} alike"]
    if privacy.l_sensitive:
        said.append(f"at least {privacy.l} values of each of {', '.join(privacy.l_sensitive)}")
    if privacy.t_sensitive:
        said.append(f"{', '.join(privacy.t_sensitive)} at most {privacy.t:g} from how all rows are distributed")
    return said
