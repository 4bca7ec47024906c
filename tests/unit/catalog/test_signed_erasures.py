"""Records of who was erased, beside a backup: none can be added, taken out or put back to what it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from catalog.backup import Backup, Manifest, keep_erasures
from catalog.erasure.records import KIND, Erasure
from catalog.evidence import evidence_key
from catalog.signed_backup import ERASURES, ChangeLog, ManifestSeal, _End, _signed, sign_erasures, signed_erasures
from catalog.store import now
from datalab.canonical import sha256_hex
from datalab.errors import RefusedError
from datalab.home import Home
from datalab.permits.keys import generate_key
from datalab.permits.signature import sign
from tests.unit.catalog.examples import SHA

MANIFEST = b"manifest"


@pytest.fixture
def key() -> OKPKey:
    return generate_key()


@pytest.fixture
def backup(tmp_path: Path, key: OKPKey) -> Backup:
    """A backup, with a key for evidence in it, and changes that were shipped since."""
    folder = tmp_path / "away" / "first"
    evidence_key(Home(folder / "home"))
    ChangeLog(folder, MANIFEST, key, erasures=0)
    manifest = Manifest(created=now(), events=1, files=(), objects=())
    return Backup(folder, manifest, ManifestSeal(manifest=sha256_hex(MANIFEST), changes=True), key)


def record(backup: Backup, name: str) -> bytes:
    """A record of an erasure, as the lab has signed it."""
    done = Erasure(id=name, holder="gbsg", mark=SHA, reason="r", requested_by="a", created=now(), state="done")
    return sign(done.model_dump_json().encode(), kind=KIND, key=evidence_key(Home(backup.folder / "home"))).encode()


def test_as_many_as_the_lab_has_counted_come_back_as_it_signed_them(
    backup: Backup, key: OKPKey, tmp_path: Path
) -> None:
    away, new = backup.folder.parent, Home(tmp_path / "new")
    records = [record(backup, name) for name in ("one", "two")]
    with pytest.raises(RefusedError, match="missing beside the backup"):
        keep_erasures(away, new, backup)
    sign_erasures(away, records[:1], key)
    before = (away / ERASURES).read_bytes()
    sign_erasures(away, records, key)
    ChangeLog(backup.folder, MANIFEST, key, erasures=2)
    keep_erasures(away, new, backup)
    assert {path.name: path.read_bytes() for path in (new.path / "erasures").iterdir()} == {
        "one.jws": records[0] + b"\n",
        "two.jws": records[1] + b"\n",
    }
    whole = (away / ERASURES).read_bytes()
    for content, said in (
        (before, "1 are left of 2"),
        (whole + record(backup, "three") + b"\n", "not those that the lab has signed"),
        (whole.replace(records[0] + b"\n", b""), "not those that the lab has signed"),
    ):
        (away / ERASURES).write_bytes(content)
        with pytest.raises(RefusedError, match=said):
            signed_erasures(away, backup.folder, key)
    sign_erasures(away, [*records, record(backup, "three")], generate_key())
    with pytest.raises(RefusedError, match="by another key"):
        signed_erasures(away, backup.folder, key)


def test_those_of_an_earlier_release_are_taken_if_a_later_one_has_not_counted_them(
    backup: Backup, key: OKPKey, tmp_path: Path
) -> None:
    away, new = backup.folder.parent, Home(tmp_path / "new")
    (away / "erasures").mkdir()
    (away / "erasures" / "one.jws").write_bytes(record(backup, "one"))
    with pytest.raises(
        RefusedError, match="missing beside the backup"
    ):  # who writes there cannot make it an earlier one
        keep_erasures(away, new, backup)
    end = _End(lines=0, head=sha256_hex(MANIFEST))
    (backup.folder / "changes.jws").write_bytes(_signed(end, "datalab-changes+jws", key))
    keep_erasures(away, new, backup)
    assert [path.name for path in (new.path / "erasures").iterdir()] == ["one.jws"]
    (away / "erasures" / "two.jws").write_text("forged")
    with pytest.raises(RefusedError, match="signature in the backup was changed"):
        keep_erasures(away, new, backup)
