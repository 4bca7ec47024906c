"""k, l and t in SQL are those of the definitions, worked out in plain Python, and those that pycanon 1.0.1 prints.

pycanon needs packages that this project does not have, so its figures were taken in an environment of its own:
``anonymity.k_anonymity(table, ["age", "sex"])``, ``l_diversity(…, [column])`` and ``t_closeness(…, [column])`` on
``TABLE`` below, once for each column.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalab.curation.anonymity import measure
from datalab.curation.contract import Privacy

Row = tuple[float, str, int, str]
_CHANCE = random.Random(3)
TABLE: list[Row] = [
    (_CHANCE.randint(0, 3) * 10 + 4.5, _CHANCE.choice("fm"), _CHANCE.randint(0, 12), _CHANCE.choice("abcd"))
    for _ in range(400)
]


def by_sql(rows: list[Row], column: str) -> tuple[int, int | None, float | None]:
    privacy = Privacy(k=2, quasi_identifiers=("age", "sex"), l=2, l_sensitive=(column,), t=0.5, t_sensitive=(column,))
    with duckdb.connect() as database:
        database.execute("CREATE TABLE x (age DOUBLE, sex VARCHAR, severity BIGINT, code VARCHAR)")
        values = ", ".join(f"({age}, '{sex}', {severity}, '{code}')" for age, sex, severity, code in rows)
        database.execute(f"INSERT INTO x VALUES {values}")
        found = measure(database, "x", privacy, frozenset({"severity"}))
    return found.k, found.l, found.t


def by_definition(rows: list[Row], column: str) -> tuple[int, int, float]:
    classes: dict[tuple[float, str], list[int | str]] = defaultdict(list)
    for age, sex, severity, code in rows:
        classes[age, sex].append(severity if column == "severity" else code)
    everybody = [value for values in classes.values() for value in values]
    order = sorted(set(everybody), key=str if column == "code" else int)
    far = []
    for values in classes.values():
        ours, all_ = Counter(values), Counter(everybody)
        gaps = [ours[value] / len(values) - all_[value] / len(everybody) for value in order]
        if column == "code":
            far.append(sum(map(abs, gaps)) / 2)
        else:
            far.append(sum(abs(sum(gaps[: index + 1])) for index in range(len(order))) / max(len(order) - 1, 1))
    return min(map(len, classes.values())), min(len(set(one)) for one in classes.values()), max(far)


@pytest.mark.parametrize(
    ("column", "k", "l", "t"), [("severity", 39, 12, 0.08971153846153843), ("code", 39, 4, 0.19346938775510206)]
)
def test_what_pycanon_prints(column: str, k: int, l: int, t: float) -> None:  # noqa: E741
    *found, distance = by_sql(TABLE, column)
    assert found == [k, l]
    assert distance == pytest.approx(t, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from([4.5, 14.5]), st.sampled_from("fm"), st.integers(-3, 9), st.sampled_from("abc")),
        min_size=1,
        max_size=30,
    ),
    column=st.sampled_from(["severity", "code"]),
)
def test_what_the_definitions_say(rows: list[Row], column: str) -> None:
    *defined, t = by_definition(rows, column)
    *found, distance = by_sql(rows, column)
    assert found == defined
    assert distance == pytest.approx(t, abs=1e-12)
