from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.uploads import safe_filename
from datalab.errors import BadInputError


@pytest.mark.parametrize(
    ("given_name", "safe"),
    [
        ("gbsg.csv", "gbsg.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Daten\\Größe 2024.csv", "Groe_2024.csv"),
        (".htaccess", "htaccess"),
        ("x" * 200 + ".csv", "x" * 116 + ".csv"),
    ],
)
def test_a_file_keeps_as_much_of_its_name_as_is_safe(given_name: str, safe: str) -> None:
    assert safe_filename(given_name) == safe


@given(st.text())
def test_no_file_name_leaves_its_folder(given_name: str) -> None:
    try:
        name = safe_filename(given_name)
    except BadInputError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}", name)
