"""Apps that an organisation hands in: as many as the lab keeps for it, however many arrive at once."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from catalog.errors import NotPermittedError
from catalog.lab import open_lab
from catalog.records import AccountDraft, Role
from catalog.web import launching
from datalab.canonical import sha256_hex
from datalab.home import Home
from datalab.storage.store import ObjectStore
from federation.bundle import pack
from federation.errors import BundleError
from tests.support.federation import ECHO

AT_ONCE = 6


def bundle(number: int) -> bytes:
    """The echo app with one more file, so that each is another one."""
    out = io.BytesIO(pack(ECHO))
    with zipfile.ZipFile(out, "a") as more:
        more.writestr(zipfile.ZipInfo("number.txt"), str(number))
    return out.getvalue()


def test_apps_that_arrive_at_once_are_counted_one_by_one(
    tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "MAX_APPS", 2)
    rosa = AccountDraft(name="rosa", role=Role.RESEARCHER, organisation="start-up")
    together = Barrier(AT_ONCE)
    with open_lab(Home(tmp_path), object_store) as lab:

        def upload(number: int) -> str | None:
            together.wait()
            try:
                return launching.keep_app(lab, bundle(number), rosa).sha256
            except NotPermittedError:
                return None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            kept = [one for one in pool.map(upload, range(AT_ONCE)) if one is not None]
        assert len(kept) == 2
        assert {path.stem for path in (tmp_path / "apps").iterdir()} == set(kept)
        uploaded = lab.store.find_events(action="app.uploaded", limit=10)
        assert {one.subject for one in uploaded} == {f"app/{one}" for one in kept}

        again = next(number for number in range(AT_ONCE) if sha256_hex(bundle(number)) in kept)
        assert launching.keep_app(lab, bundle(again), rosa).sha256 in kept
        other = rosa.model_copy(update={"organisation": "university"})
        assert launching.keep_app(lab, bundle(AT_ONCE), other).name == "echo"
        with pytest.raises(BundleError):
            launching.keep_app(lab, b"no zip", other)
