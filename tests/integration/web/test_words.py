"""Every text that a reader finds on a page is translated, or is data.

The lab server runs with German that is English in marks (``tests.support.marked_lab``). What stands outside of the
marks has been through no translation: it has to be what the lab's records hold, a proper name, or code.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from catalog.client import lab_client
from catalog.web.pages import wording
from catalog.web.pages.datasets import EXPORTS
from catalog.web.pages.language import COOKIE, NAMES
from datalab.home import Home
from datalab.service import Service
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import home_beside
from tests.support import marked_lab
from tests.support.every_page import EMPTY, HALF, NOBODY, PLACES, Place
from tests.support.federation import ECHO
from tests.support.filled import Filled, filled_lab, settle_all
from tests.support.pages import visit
from tests.support.reading import Text, texts
from tests.unit.web.test_languages import UNTRANSLATED_ON_PURPOSE

ROOT = Path(__file__).parents[3]
TEMPLATES = ROOT / "federation" / "apps"
SERVER = Service("lab", marked_lab.__name__, ("object-store",))
WORD = re.compile(r"[^\W\d_]{2,}")
NAMED = re.compile(r"https?://\S+|\b[\w.-]+\.(csv|json|jsonl|parquet|npy)\b|\b[0-9a-f]{12,64}\b")
"""Addresses, names of files, digests."""
FIGURE = "loss"
"""What the echo app measures."""
PROPER = {*UNTRANSLATED_ON_PURPOSE, *EXPORTS.values(), *NAMES.values(), "True", "False", "nan"}
"""Names of things that are the same in every language, and values as an app has them."""


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """The lab server of these tests is found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


def outside(text: str) -> str:
    """Return what of a text stands outside of the marks."""
    left, depth = "", 0
    for one in text:
        depth -= one == marked_lab.SHUT
        left += "" if depth else one if one != marked_lab.SHUT else " "
        depth += one == marked_lab.OPEN
    return left.replace(marked_lab.OPEN, " ")


def strings(found: Any) -> Iterator[str]:
    """Go through what a record says: its texts, and the names of parameters and figures."""
    if isinstance(found, str):
        yield from {found, *found.splitlines()}
    elif isinstance(found, dict):
        for name, one in found.items():
            yield from strings(one)
            if name in {"config", "settings", "software"} and isinstance(one, dict):
                yield from one
    elif isinstance(found, list):
        for one in found:
            yield from strings(one)


def codes() -> set[str]:
    """Return the codes that have words of their own, so that none may be shown as it is."""
    tables = (table for table in vars(wording).values() if isinstance(table, dict))
    return {str(code) for table in tables for code in table}


def records(filled: Filled) -> set[str]:
    """Return what no translation could know: all texts of the records but codes with words, and what apps say."""
    with lab_client(filled.home, "operator") as client:
        snapshot = client.take_snapshot()
    (path,) = filled.home.path.rglob(f"*{snapshot.id}*/records.duckdb")
    found, names = set[str](), {FIGURE, "leiden"}  # that node has no record before it is approved
    for app in (*TEMPLATES.glob("*/pyproject.toml"), ECHO / "pyproject.toml"):
        names |= set(strings(tomllib.loads(app.read_text(encoding="utf-8"))))
    with duckdb.connect(str(path), read_only=True) as copy:
        for (table,) in copy.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            for row in copy.execute(f'SELECT * FROM "{table}"').fetchall():
                for one in row:
                    said = one if isinstance(one, str) else ""
                    found |= set(strings(json.loads(said) if said[:1] in {"{", "["} else said))
        names |= {
            name
            for (name,) in copy.execute(
                "SELECT name FROM accounts UNION SELECT record ->> 'organisation' FROM accounts"
            ).fetchall()
        }
    return found - codes() | names


def untranslated(filled: Filled, places: Iterable[Place], known: set[str]) -> dict[str, list[str]]:
    """Go through pages, and return which texts on which of them are neither translated nor known."""
    found: dict[str, list[str]] = {}
    for place in places:
        with filled.http(place.role) if place.role else visit(filled.home) as http:
            http.cookies.set(COOKIE, marked_lab.CODE)
            if place in HALF:
                http.cookies.set("datalab", filled.half)
            answer = http.get(place.at(filled.names))
        assert answer.status_code == place.status, place.name
        shown = texts(answer.text)
        assert sum(marked_lab.OPEN in one.text for one in shown) > 5, f"{place.name} is not in marks"
        for one in shown:
            if left := _left(one, known):
                found.setdefault(left, []).append(place.name)
    return found


def _left(text: Text, known: set[str]) -> str:
    if text.code or text.language is not None:
        return ""
    left = outside(text.text).strip()
    if left in known or not WORD.search(left):
        return ""
    left = NAMED.sub(" ", left)
    for name in sorted((one for one in known if len(one) > 1 and one in left), key=len, reverse=True):
        left = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", left)
    return left.strip() if WORD.search(left) else ""


def test_a_text_that_is_not_translated_is_found() -> None:
    page = '<html lang="de"><body><p>⟦Rows⟧: Atlas</p><p title="Gone">⟦a ⟦nested⟧ one⟧ left</p><code>rows</code></body>'
    assert [_left(one, {"Atlas"}) for one in texts(page)] == ["", "Gone", "left", ""]
    assert "restricted" in codes()


def test_nothing_is_untranslated_in_a_lab_with_nothing_in_it(
    lab_home: Home, tmp_path: Path, supervisor: Supervisor
) -> None:
    made = Filled(home_beside(lab_home, tmp_path), names={"app": "logistic"})
    process = supervisor.start(SERVER.name, SERVER.module, made.home)
    settle_all(made)
    assert untranslated(made, (*EMPTY, *NOBODY, *HALF), records(made) | PROPER) == {}
    process.terminate()
    supervisor.forget(process)


@pytest.mark.slow
def test_nothing_is_untranslated_on_any_page_in_any_of_its_states(lab_home: Home, tmp_path: Path) -> None:
    with filled_lab(lab_home, tmp_path, server=SERVER) as filled:
        found = untranslated(filled, PLACES, records(filled) | PROPER | set(filled.names.values()))
    assert found == {}
