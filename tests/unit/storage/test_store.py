"""What needs no server: how a stream is cut into parts, who is granted what, what an error says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalab.errors import ExitCode, NotFoundError
from datalab.home import Home
from datalab.storage.access import GRANTS, credentials
from datalab.storage.store import ObjectStore, _Source, connect


@given(chunks=st.lists(st.binary(max_size=50), max_size=20), size=st.integers(1, 64))
def test_a_stream_is_read_in_whole_parts_and_digested(chunks: list[bytes], size: int) -> None:
    source = _Source(chunks)
    parts = []
    while part := source.read(size):
        parts.append(part)
    whole = b"".join(chunks)
    assert b"".join(parts) == whole
    assert all(len(part) == size for part in parts[:-1])
    assert source.bytes == len(whole)
    assert source.digest.hexdigest() == hashlib.sha256(whole).hexdigest()


def test_only_the_lab_is_admin_and_every_other_grant_is_a_prefix() -> None:
    assert GRANTS["lab"] == ("Admin",)
    others = [grant for user, grants in GRANTS.items() if user != "lab" for grant in grants]
    assert others
    assert all(grant.partition(":")[0] in {"Read", "Write"} and grant.endswith("/*") for grant in others)


def test_credentials_are_random_stable_and_private(tmp_path: Path) -> None:
    home = Home(tmp_path)
    mine = credentials(home, "pipeline")
    assert mine == credentials(home, "pipeline")
    assert len({*mine, *credentials(home, "compute"), *credentials(Home(tmp_path / "other"), "pipeline")}) == 6
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "secrets").iterdir())


def test_an_unknown_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'root'"):
        credentials(Home(tmp_path), "root")


def test_connecting_to_a_store_that_does_not_run_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"not running.*datalab up"):
        connect(Home(tmp_path))
    assert NotFoundError.exit_code is ExitCode.NOT_FOUND


def test_a_store_does_not_show_its_secret() -> None:
    assert "geheim" not in repr(ObjectStore("127.0.0.1:1", "key", "geheim", "datalab"))
