"""The README's commands, as a reader would type them, one after the other; and what it says of the product holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datalab.errors import ExitCode
from tests.support.documents import blocks, commands

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def first_ten_minutes() -> list[str]:
    """The commands of “The first ten minutes”."""
    part = README.partition("## The first ten minutes")[2].partition("## When something is wrong")[0]
    return [command for block in blocks(part) for command in commands(block)]


def test_every_exit_code_is_in_the_readme() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert table == {code.value for code in ExitCode} - {ExitCode.OK}


def test_every_link_to_a_file_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_nothing_is_left_to_be_filled_in() -> None:
    assert "@@" not in README
