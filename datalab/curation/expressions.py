"""What a contract may compute: DuckDB expressions over one row, checked against an allow-list.

A contract comes from outside, so its SQL is never trusted. DuckDB's own parser turns the text into a tree
(``json_serialize_sql``), every node of the tree must be of an allowed kind, and what is later executed is the SQL that
DuckDB writes back from the checked tree, not the text that was handed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datalab.curation.database import literal
from datalab.errors import BadInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FUNCTIONS = frozenset({
    "+", "-", "*", "/", "%",
    "abs", "ceil", "exp", "floor", "greatest", "least", "ln", "nullif", "round", "sqrt", "year",
})  # fmt: skip
TYPES = frozenset({"BIGINT", "BOOLEAN", "DATE", "DOUBLE", "INTEGER", "VARCHAR"})
CONSTANTS = TYPES | {"DECIMAL", "HUGEINT", "NULL"}
OPERATORS = frozenset({
    "COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_COALESCE", "OPERATOR_IS_NOT_NULL", "OPERATOR_IS_NULL", "OPERATOR_NOT",
})  # fmt: skip
ALLOWED = (
    "Allowed are columns of the export, constants, comparisons, AND, OR, NOT, arithmetic, CASE, BETWEEN, IN, IS NULL, "
    f"CAST, coalesce and the functions {', '.join(sorted(name for name in FUNCTIONS if name.isalpha()))}."
)

Node = dict[str, Any]


@dataclass(frozen=True)
class Expression:
    """A checked expression: the SQL that DuckDB wrote from the checked tree, and the columns that it reads."""

    sql: str
    columns: frozenset[str]


def parse_expression(database: DuckDBPyConnection, text: str, columns: Collection[str], *, where: str) -> Expression:
    """Return the checked expression.

    Args:
        database: lends its parser; nothing of the expression is executed.
        text: SQL, one expression.
        columns: names that it may read, in this spelling.
        where: contract file, line and property, for the error.

    Raises:
        BadInputError: it is not one expression, or it uses something outside the allow-list.
    """
    # As a literal: to bind a parameter, DuckDB imports pandas wherever it is installed, which takes half a second.
    query = f"SELECT (\n{text}\n)"
    serialised = _one(database.execute(f"SELECT json_serialize_sql({literal(query)})"))
    root = _only_expression(json.loads(serialised), where)
    read: set[str] = set()
    _check(root, columns, read, where)
    statement = _one(database.execute(f"SELECT json_deserialize_sql({literal(serialised)}::JSON)"))
    return Expression(sql=f"({statement.removeprefix('SELECT ')})", columns=frozenset(read))


def _one(result: Any) -> str:
    value: str = result.fetchone()[0]
    return value


def _only_expression(tree: Node, where: str) -> Node:
    """Return the expression of ``SELECT (expression)`` and of nothing else."""
    if tree["error"]:
        raise BadInputError("The expression is not valid SQL.", where=where, next_step=ALLOWED)
    node = tree["statements"][0]["node"] if len(tree["statements"]) == 1 else {}
    plain = (
        node.get("type") == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["from_table"]["type"] == "EMPTY"
        and not node["cte_map"]["map"]
        and not any(
            node[part]
            for part in ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "sample", "qualify")
        )
    )
    if not plain:
        raise BadInputError("This is a query, not one expression over a row.", where=where, next_step=ALLOWED)
    root: Node = node["select_list"][0]
    return root


def _check(node: Node, columns: Collection[str], read: set[str], where: str) -> None:
    """Check one node and all below it; collect the columns read."""
    kind = _KINDS.get(node["class"])
    if kind is None or node["alias"]:
        raise _not_allowed(str(node["class"]).lower().replace("_", " "), where)
    if node["class"] == "COLUMN_REF":
        names = node["column_names"]
        if len(names) != 1 or names[0] not in columns:
            raise BadInputError(
                f"The expression reads {'.'.join(names)}, which is not a column that it may use.",
                where=where,
                next_step="Name a column of the export, in the same spelling, that is not dropped at the holder.",
            )
        read.add(names[0])
    for child in kind(node, where):
        _check(child, columns, read, where)


def _not_allowed(what: str, where: str) -> BadInputError:
    return BadInputError(f"The expression uses {what}, which a contract may not.", where=where, next_step=ALLOWED)


def _leaf(node: Node, where: str) -> list[Node]:
    del node, where
    return []


def _constant(node: Node, where: str) -> list[Node]:
    kind = node["value"]["type"]["id"]
    if kind not in CONSTANTS:
        raise _not_allowed(f"a constant of type {kind}", where)
    return []


def _comparison(node: Node, where: str) -> list[Node]:
    del where
    return [node["left"], node["right"]]


def _children(node: Node, where: str) -> list[Node]:
    del where
    children: list[Node] = node["children"]
    return children


def _operator(node: Node, where: str) -> list[Node]:
    if node["type"] not in OPERATORS:
        raise _not_allowed(f"the operator {node['type']}", where)
    return _children(node, where)


def _between(node: Node, where: str) -> list[Node]:
    del where
    return [node["input"], node["lower"], node["upper"]]


def _case(node: Node, where: str) -> list[Node]:
    del where
    branches = [branch[part] for branch in node["case_checks"] for part in ("when_expr", "then_expr")]
    return [*branches, node["else_expr"]]


def _cast(node: Node, where: str) -> list[Node]:
    kind = node["cast_type"]["id"]
    if kind not in TYPES:
        raise _not_allowed(f"a cast to {kind}", where)
    return [node["child"]]


def _function(node: Node, where: str) -> list[Node]:
    name = node["function_name"]
    if name not in FUNCTIONS or node["schema"] or node["catalog"]:
        raise _not_allowed(f"the function {name}", where)
    if node["distinct"] or node["filter"] or node["order_bys"]["orders"]:
        raise _not_allowed("an aggregate", where)
    return _children(node, where)


_KINDS: dict[str, Callable[[Node, str], list[Node]]] = {
    "BETWEEN": _between,
    "CASE": _case,
    "CAST": _cast,
    "COLUMN_REF": _leaf,
    "COMPARISON": _comparison,
    "CONJUNCTION": _children,
    "CONSTANT": _constant,
    "FUNCTION": _function,
    "OPERATOR": _operator,
}
