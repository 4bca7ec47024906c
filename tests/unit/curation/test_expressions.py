"""A contract computes over one row, with what the allow-list names, and nothing else."""

from __future__ import annotations

import pytest

from datalab.curation.database import connect
from datalab.curation.expressions import Expression, parse_expression
from datalab.errors import BadInputError


def parse(text: str) -> Expression:
    with connect() as parser:
        return parse_expression(parser, text, {"a", "b"}, where="ward.odcs.yaml, line 7, property x")


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a + 2 * b - 1.5",
        "CASE WHEN a IN (1, 2) AND NOT (b IS NULL) THEN 1 ELSE NULL END",
        "CASE a WHEN 1 THEN 'x' END",
        "a BETWEEN 1 AND 5 OR b IS NOT NULL",
        "CAST(a AS DOUBLE)",
        "coalesce(a, least(b, 3), greatest(1, 2))",
        "ln(nullif(a, 0)) / sqrt(abs(b))",
        "true",
        "a -- a remark",
    ],
)
def test_expressions_over_a_row_are_taken(text: str) -> None:
    assert parse(text).columns <= {"a", "b"}


@pytest.mark.parametrize(
    "text",
    [
        "(SELECT 1)",
        "a IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "(SELECT content FROM read_text('/etc/passwd'))",
        "read_csv('/etc/passwd')",
        "a) FROM read_csv('/etc/passwd') WHERE (a = 1",
        "a), (b",
        "a; DROP TABLE export",
        "1); COPY (SELECT 1) TO '/tmp/x' --",
        "sum(a)",
        "sum(a) OVER ()",
        "getenv('HOME')",
        "current_setting('memory_limit')",
        "random()",
        "a::JSON",
        "CAST(a AS STRUCT(x INTEGER))",
        "list_transform([1], x -> x)",
        "[a, b]",
        "{'x': a}",
        "a[1]",
        "*",
        "COLUMNS('a')",
        "$1",
        "?",
        "export.a",
        "A",
        "rowid",
        "current_date",
        "a LIKE 'x%'",
        "a || b",
        "'a' COLLATE nocase",
        "a ** 2",
        "main.abs(a)",
        "a ORDER BY 1",
        "",
        "-- nothing",
        "a,",
    ],
)
def test_everything_else_is_refused_and_says_where(text: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse(text)
    assert refused.value.where == "ward.odcs.yaml, line 7, property x"


def test_what_runs_is_the_sql_of_the_checked_tree() -> None:
    assert parse("1) + (a").sql == "((1 + a))"


def test_a_connection_reaches_no_file_outside_its_folder(tmp_path: object) -> None:
    import duckdb

    with connect() as database, pytest.raises(duckdb.PermissionException):
        database.execute("SELECT * FROM read_text('/etc/hostname')")
    with connect() as database, pytest.raises(duckdb.Error):
        database.execute("SET enable_external_access = true")
