"""An app is a template by its name or an upload by its digest, and no path to somewhere else on the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datalab.errors import NotFoundError
from datalab.home import Home
from federation.lab import TEMPLATES, find_app
from tests.support.federation import ECHO


def test_a_template_is_found(tmp_path: Path) -> None:
    assert find_app(Home(tmp_path), "kmeans")[0].name == "kmeans"


def test_no_app_is_found_by_a_path(tmp_path: Path) -> None:
    other = shutil.copytree(ECHO, tmp_path / "runs" / "of-others" / "app")
    for name in (str(other), f"{TEMPLATES}/kmeans", "../apps/kmeans", "kmeans/", ".", "..", "kmeans/../logistic"):
        with pytest.raises(NotFoundError, match="no app"):
            find_app(Home(tmp_path), name)
