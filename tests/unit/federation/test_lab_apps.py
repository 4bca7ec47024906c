"""An app is a template by its name or an upload by its digest, and no path to somewhere else on the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datalab.errors import NotFoundError
from datalab.home import Home
from federation import lab
from federation.lab import TEMPLATES, find_app
from tests.support.federation import ECHO


def test_a_template_is_found(tmp_path: Path) -> None:
    assert find_app(Home(tmp_path), "kmeans")[0].name == "kmeans"


def test_no_app_is_found_by_a_path(tmp_path: Path) -> None:
    other = shutil.copytree(ECHO, tmp_path / "runs" / "of-others" / "app")
    for name in (str(other), f"{TEMPLATES}/kmeans", "../apps/kmeans", "kmeans/", ".", "..", "kmeans/../logistic"):
        with pytest.raises(NotFoundError, match="no app"):
            find_app(Home(tmp_path), name)


def test_what_an_app_has_said_is_shown_without_colours_and_folders(tmp_path: Path) -> None:
    folder = Home(tmp_path).folder("runs", "run-1", "log")
    said = "\x1b[92mINFO \x1b[0m:  round 1 \x07in /srv/lab/runs/run-1/stage\n"
    (folder / "server-app.log").write_text(said, encoding="utf-8")
    assert lab.log(Home(tmp_path), "run-1") == "INFO :  round 1 in …/stage\n"
    assert lab.log(Home(tmp_path), "run-2") == ""
