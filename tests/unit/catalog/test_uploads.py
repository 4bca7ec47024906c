from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.uploads import safe_filename, title_of
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


@pytest.mark.parametrize(
    ("given_name", "title"),
    [
        ("C:\\Daten\\größe_der-Häuser 2024.csv.gz", "Größe der Häuser 2024"),
        ("e\u0301tude.CSV", "Étude"),
        ("v1.2.tsv", "V1 2"),
        ("visits_2024.ndjson.gz", "Visits 2024"),
        ("visits.parquet", "Visits"),
        ("\x07.csv", ""),
    ],
)
def test_a_title_keeps_every_letter_of_the_files_name(given_name: str, title: str) -> None:
    assert title_of(given_name) == title


@given(st.text())
def test_no_file_name_leaves_its_folder(given_name: str) -> None:
    try:
        name = safe_filename(given_name)
    except BadInputError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}", name)
