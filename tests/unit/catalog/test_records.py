from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from catalog.records import Announcement, Key, Slug, Version
from tests.unit.catalog.examples import anonymous, at_site, draft, report


def test_a_dataset_is_registered_as_its_steward_states_it() -> None:
    assert draft().data_class == "personal"
    assert at_site().node == "rotterdam"
    assert anonymous().access == "public"


@pytest.mark.parametrize(
    ("contradiction", "message"),
    [
        ({"kept_at": "site", "access": "federated-only"}, "names its node"),
        ({"node": "rotterdam"}, "names its node"),
        ({"kept_at": "site", "node": "rotterdam"}, "federated-only"),
        ({"access": "public"}, "personal data cannot be public"),
        ({"legal_basis": None}, "needs a legal basis"),
        ({"purposes": ()}, "needs a legal basis"),
        ({"purposes": ("g",)}, "'a', 'b'"),
        ({"country": "Germany"}, "pattern"),
        ({"title": "x" * 301}, "at most 300"),
        ({"title": "two\nlines"}, "pattern"),
        ({"id": "../etc"}, "pattern"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_dataset_that_contradicts_itself_is_refused(contradiction: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        draft(**contradiction)


@given(st.text(max_size=80))
def test_a_slug_never_leaves_its_place_in_an_address_or_key(text: str) -> None:
    try:
        TypeAdapter(Slug).validate_python(text)
    except ValidationError:
        return
    assert 1 <= len(text) <= 64
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("key", ["staging/../data/x", "/data/x", "data//x", "data/./x", "data/x/", "", "a b", "ä"])
def test_a_key_that_a_store_could_read_as_another_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Key).validate_python(key)


def test_a_version_counts_its_checks_and_survives_json() -> None:
    failed = {"name": "k-anonymity", "passed": False, "detail": "smallest class 3"}
    checks = [check.model_dump() for check in report().checks]
    version = Version.model_validate(
        {
            "dataset": "gbsg",
            "number": 1,
            "state": "announced",
            "report": report(checks=[*checks, failed], rows=None),
            "files": (),
            "created": "2026-01-01T00:00:00Z",
            "announced_by": "rotterdam",
        }
    )
    assert (version.checks_passed, version.checks_failed) == (1, 1)
    assert Version.model_validate_json(version.model_dump_json()) == version


@pytest.mark.parametrize(
    "changes",
    [
        {"contract_id": "x" * 6000},
        {"checks": [{"name": "\x1b[2J", "passed": True, "detail": ""}]},
        {"excluded": {f"reason {n}": 1 for n in range(6000)}},
        {"parquet_sha256": "abc"},
    ],
    ids=["long text", "terminal escape", "long list", "not a digest"],
)
def test_a_report_that_comes_in_is_bounded(changes: dict[str, Any]) -> None:
    stated = report(**changes)
    with pytest.raises(ValidationError, match="in the report"):
        Announcement(node="rotterdam", version=1, report=stated)


def test_the_client_is_light() -> None:
    heavy = "{'duckdb', 'fastapi', 'starlette', 'minio', 'joserfc', 'cryptography'}"
    code = f"import sys, catalog.client; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"importing catalog.client also imports {done.stderr}"
