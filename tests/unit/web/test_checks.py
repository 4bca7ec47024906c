"""Every check that curation makes is said in the reader's language."""

from __future__ import annotations

import inspect
from itertools import product
from typing import Any

import pytest

from catalog.web.pages import checks
from catalog.web.pages.language import NAMES, language
from datalab.curation import engine, harmonise, profile
from datalab.curation.contract import Domain, HarmonisedColumn
from datalab.curation.report import Check

BOUNDS: tuple[dict[str, Any], ...] = (
    {},
    {"minimum": 0},
    {"maximum": 1.5},
    {"minimum": -3, "maximum": 7},
    {"codes": ("a", "b c")},
)


def domain_checks() -> list[Check]:
    """What is said of columns of every type, with every kind of bound."""
    made = []
    for required, kind, bounds in product((True, False), ("integer", "number", "string"), BOUNDS):
        domain = Domain(kind, required, **bounds)
        column = HarmonisedColumn.__new__(HarmonisedColumn)
        object.__setattr__(column, "name", "age_at_diagnosis")
        object.__setattr__(column, "domain", domain)
        made.append(profile._domain_check(column, 0))
    return made


def privacy_details() -> list[str]:
    return [
        harmonise._K.format("age, meno", 5),
        harmonise._L.format(2, "grade, state"),
        harmonise._T.format("grade", 0.25),
    ]


@pytest.mark.parametrize("code", [code for code in NAMES if code != "en"])
def test_what_is_said_of_values_is_translated(code: str) -> None:
    found = domain_checks()
    assert len({one.detail for one in found}) > 10
    for one in found:
        said = checks.rule(language(code), one.detail)
        assert said not in {one.detail, checks.rule(language("en"), one.detail)}, one.detail
        assert "age_at_diagnosis" in said
        assert checks.name(language(code), one.name) != one.name
    for detail in privacy_details():
        assert checks.rule(language(code), detail) not in {detail, ""}


def test_values_stand_where_they_belong() -> None:
    english = language("en")
    assert checks.rule(english, "age is never missing and at least 0 and at most 120.") == (
        "age is never missing, at least 0 and at most 120."
    )
    assert checks.rule(language("de"), "sex is missing or else one of f, m.") == (
        "sex fehlt oder ist einer der Werte f, m."
    )
    assert checks.name(language("fr"), "age: values") == "Valeurs de age"


def test_a_rule_of_a_contracts_own_stays_as_it_is_written() -> None:
    assert checks.rule(language("de"), "At most 100 % of something.") == "At most 100 % of something."
    assert checks.name(language("de"), "our own rule") == "our own rule"


def test_the_engines_other_checks_are_known() -> None:
    source = inspect.getsource(engine)
    known = {form.replace("\\", "") for form in (*checks.NAMES, *checks.RULES)}
    for text in (
        "row accounting",
        "file usable",
        "Each record of the raw file is a row, rejected, or excluded for a stated reason.",
        "The file has the columns that the contract requires, and no others that it forbids.",
    ):
        assert text in source
        assert text in known
