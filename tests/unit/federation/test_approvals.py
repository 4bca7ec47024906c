"""Approving an app: what is shown is what is approved, and nothing in it can hide from whoever reads it."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from datalab.audit.verification import verify
from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.home import Home
from federation.bundle import digest, pack
from federation.commands.approve import _approve_app
from federation.errors import BundleError
from federation.node.approvals import Candidate, approve, is_approved, last_approved, printable
from federation.node.locked import changed, versions_here
from tests.support.federation import ECHO


@pytest.fixture
def app(tmp_path: Path) -> Path:
    shutil.copytree(ECHO, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "app"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Home(tmp_path / "node").folder())


def test_an_approved_app_is_known_by_its_digest_and_in_the_audit_log(home: Home, app: Path) -> None:
    sha256 = digest(pack(app))
    assert not is_approved(home.path, sha256)
    record = approve(home, Candidate(app))
    assert (record.sha256, record.name, record.version) == (sha256, "echo", "1.0.0")
    assert is_approved(home.path, sha256)
    assert not is_approved(home.path, "00" * 32)
    assert not is_approved(home.path, "")
    assert verify(home.path / "audit.jsonl").intact
    (entry,) = map(json.loads, (home.path / "audit.jsonl").read_bytes().splitlines())
    assert (entry["event"], entry["details"]["sha256"]) == ("app approved", sha256)


def test_a_bundle_can_be_approved_as_well(home: Home, app: Path, tmp_path: Path) -> None:
    (tmp_path / "app.zip").write_bytes(pack(app))
    assert approve(home, Candidate(tmp_path / "app.zip")).sha256 == digest(pack(app))


def test_a_copy_that_was_changed_no_longer_counts(home: Home, app: Path) -> None:
    record = approve(home, Candidate(app))
    copy = home.path / "approvals" / record.sha256 / "bundle.zip"
    copy.write_bytes(copy.read_bytes() + b"x")
    assert not is_approved(home.path, record.sha256)
    with pytest.raises(BadInputError, match="was changed"):
        last_approved(home.path, "echo")


def test_the_diff_is_to_the_version_that_was_approved_last(home: Home, app: Path) -> None:
    assert last_approved(home.path, "echo") is None
    first = Candidate(app)
    everything = "\n".join(first.changes({}))
    assert "--- /dev/null\n+++ now/echo/client_app.py" in everything
    approve(home, first)
    client = app / "echo" / "client_app.py"
    client.write_text(
        client.read_text(encoding="utf-8").replace('"num-examples": 1, "loss"', '"num-examples": 2, "loss"', 1),
        encoding="utf-8",
    )
    (app / "weights.bin").write_bytes(b"\xff\x00")
    (app / "empty.py").write_bytes(b"")
    second = Candidate(app)
    approved = last_approved(home.path, "echo")
    assert approved is not None
    lines = list(second.changes(approved[1]))
    assert [one for one in lines if one[0] in "+-" and one[:3] not in ("+++", "---")] == [
        '-    metrics = MetricRecord({"num-examples": 1, "loss": _loss(arrays)})',
        '+    metrics = MetricRecord({"num-examples": 2, "loss": _loss(arrays)})',
    ]
    assert any(one.startswith("Binary file weights.bin: none -> 2 bytes") for one in lines)
    assert any(one.startswith("Empty file empty.py") for one in lines)
    approve(home, second)
    approve(home, first)  # again: what was approved last is what counts
    again = last_approved(home.path, "echo")
    assert again is not None
    assert again[0].sha256 == first.sha256


def test_a_change_at_the_end_of_a_line_is_shown(home: Home, app: Path) -> None:
    before = Candidate(app).files
    path = app / "echo" / "__init__.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert any("\\r" in line for line in Candidate(app).changes(before))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x = 1  # é ü 字", "x = 1  # é ü 字"),
        ("evil()\x1b[2K\rgood()", "evil()\\x1b[2K\\rgood()"),
        ("a\u202eb\u2066c\u200b", "a\\u202eb\\u2066c\\u200b"),
        ("\tindented", "\tindented"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_no_app_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Candidate(tmp_path / "nothing")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(BundleError):
        Candidate(tmp_path / "junk")


def test_an_app_is_approved_with_its_packages_and_others_are_refused(
    home: Home, app: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = approve(home, Candidate(app))
    assert record.packages is not None
    assert record.packages["numpy"] == version("numpy")
    assert "grpcio" in record.packages  # Flower needs it, which the app needs
    assert is_approved(home.path, record.sha256)
    now = dict(record.packages) | {"numpy": "1.0"}
    monkeypatch.setattr("federation.node.locked.versions_here", lambda _: now)
    with pytest.raises(RefusedError, match=rf"numpy {record.packages['numpy']} -> 1\.0"):
        is_approved(home.path, record.sha256)
    _approve_app(home, app, yes=True)
    assert f"package: numpy {record.packages['numpy']} -> 1.0" in capsys.readouterr().out
    assert is_approved(home.path, record.sha256)


def test_what_an_app_needs_is_followed_to_its_end() -> None:
    found = versions_here(
        ["httpx[http2]>=0", "not a requirement!", "nowhere-to-be-found", 'numpy; python_version < "3"']
    )
    assert found["nowhere-to-be-found"] == ""
    assert {"httpx", "httpcore", "h2", "idna"} <= found.keys()
    assert "numpy" not in found
    assert changed({"a": "1", "b": "2"}, {"b": "3"}) == ["a 1 -> none", "b 2 -> 3"]
