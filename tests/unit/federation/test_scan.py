"""A scan says what an app brings, and runs nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.commands.approve import _approve_app
from federation.node.approvals import Candidate
from federation.scan import scan
from federation.templates import templates
from tests.support.federation import ECHO, ROOT

PROJECT = b"""[project]
name = "mine"
license = "MIT"
dependencies = ["numpy==2.4.0", "flwr>=1.41", "lib[extra]==1.0; python_version > '3'", "any==1.*"]
"""


def test_imports_calls_and_dependencies_are_told_and_nothing_runs(tmp_path: Path) -> None:
    code = f"""
import numpy as np, mine.other
from subprocess import run
def f():
    import socket
    eval("1")
    pickle.loads(b"")
open({str(tmp_path / "ran")!r}, "w")
"""
    files = {"pyproject.toml": PROJECT, "mine/app.py": code.encode(), "mine/bad.py": b"def (", "big.bin": b"0" * 2**20}
    found = scan(files)
    assert (found.licence, found.files) == ("MIT", 4)
    assert found.unpinned == ("flwr>=1.41", "any==1.*")
    assert found.packages == ("numpy",)
    assert found.outside == ("subprocess (mine/app.py:3)", "socket (mine/app.py:5)")
    assert found.calls == ("eval (mine/app.py:6)", "pickle.loads (mine/app.py:7)")
    assert found.unread == ("big.bin (1,048,576 bytes)", "mine/bad.py")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("data", [b"\xff\x00", b"[project]\nlicense = 3\ndependencies = 1", b"project = 1", b""])
def test_a_strange_project_file_breaks_nothing(data: bytes) -> None:
    assert scan({"pyproject.toml": data, "a/deep.py": b"(" * 5000, "a/nul.py": b"\x00"}).dependencies == ()


def test_the_templates_hide_nothing() -> None:
    for name in templates():
        found = scan(Candidate(ROOT / "federation" / "apps" / name).files)
        assert (found.calls, found.licence) == ((), "Apache-2.0"), name
        assert set(found.outside) <= {"importlib (" + one + ")" for one in _finds(name)}, name


def _finds(name: str) -> set[str]:
    path = ROOT / "federation" / "apps" / "shared" / "onnx_model.py"
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "importlib" in text)
    return {f"{name}/shared/onnx_model.py:{line}"}


def test_whoever_approves_an_app_reads_the_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from datalab.home import Home

    _approve_app(Home(Home(tmp_path / "node").folder()), ECHO, yes=True)
    assert "scan: reaches beyond its numbers" in capsys.readouterr().out
