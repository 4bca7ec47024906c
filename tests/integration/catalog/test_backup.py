from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner

from catalog import backup_commands, steward_commands
from catalog.client import lab_client
from catalog.erasure.records import ErasureDraft
from catalog.evidence import public_backup_key
from catalog.lab import open_lab
from catalog.lake import Lake
from catalog.records import Dataset, DatasetPatch
from catalog.service import SERVICE as LAB
from catalog.shipping import newest
from catalog.signed_backup import sign_manifest
from catalog.store import Store
from datalab.canonical import sha256_hex
from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.home import Home
from datalab.permits.keys import PRIVATE_FILE, PUBLIC_FILE, generate_key, load_private_key, write_key_pair
from datalab.storage.service import SERVICE as OBJECT_STORE
from datalab.storage.store import connect
from datalab.supervisor import Supervisor
from tests.integration.catalog.test_erasure import PERSON, places, request
from tests.unit.catalog.examples import draft

SETTINGS = "[ports]\nobject_store = 0\nlab = 0\n"


def backup(out: Path, home: Home) -> str:
    arguments = [str(out), "--home", str(home.path)]
    return CliRunner().invoke(backup_commands.backup, arguments, catch_exceptions=False).stdout


def restore(folder: Path, home: Home, *options: str) -> str:
    arguments = [str(folder), "--home", str(home.path), *options]
    return CliRunner().invoke(backup_commands.restore, arguments, catch_exceptions=False).stdout


def key_of(home: Home, folder: Path) -> tuple[str, str]:
    """Keep a copy of a lab's public key, as its operator would, and return the option that names it."""
    copy = folder / "lab-key.jwk"
    copy.write_bytes(public_backup_key(home).read_bytes())
    return "--key", str(copy)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Home]:
    """A whole lab of the test's own."""
    home = Home(tmp_path / "lab")
    home.folder()
    (home.path / "datalab.toml").write_text(SETTINGS)
    with Supervisor() as supervisor:
        for service in (OBJECT_STORE, LAB):
            supervisor.start(service.name, service.module, home)
        yield home


def test_a_lab_that_is_being_changed_is_backed_up_restored_and_cleared_of_who_was_erased_since(
    running: Home, tmp_path: Path
) -> None:
    objects = connect(running)
    stop = Event()
    with lab_client(running, "operator") as client, lab_client(running, "pipeline") as pipeline:
        client.register_dataset(draft(id="atlas"))
        raw = tmp_path / "raw.csv"
        raw.write_text(f"pid\n{PERSON}\n")
        client.upload("atlas", raw)
        pipeline.publish("atlas", request(objects, tmp_path, "atlas", "one", rows=40))

        def edit() -> int:
            revision = 1
            while not stop.is_set():
                revision = client.update_dataset(
                    "atlas", DatasetPatch(title=f"Title {revision}"), revision=revision
                ).revision
            return revision

        with ThreadPoolExecutor(1) as pool:
            edits = pool.submit(edit)
            try:
                said = backup(tmp_path / "out", running)
            finally:
                stop.set()
            revision = edits.result()
        assert "2 objects" in said
        pipeline.publish("atlas", request(objects, tmp_path, "atlas", "two", rows=50))
        client.erase(ErasureDraft(holder="gbsg", pseudonym=PERSON, reason="GDPR Art. 17"))
        assert [one.report.rows for one in client.versions("atlas")] == [40, 50]

    new = Home(tmp_path / "new")
    (new.folder("erasures").parent / "datalab.toml").write_text(SETTINGS)
    for path in (running.path / "erasures").iterdir():  # newer than the backup
        (new.path / "erasures" / path.name).write_bytes(path.read_bytes())
    said = restore(tmp_path / "out", new, *key_of(running, tmp_path))
    assert "1 datasets, 1 versions and 2 objects; 1 erasures hold." in said
    assert "is whole" in said
    assert places(new, PERSON.encode()) == []
    with pytest.raises(RefusedError, match="has a catalog already"):
        restore(tmp_path / "out", new, *key_of(running, tmp_path))
    with Supervisor() as supervisor:
        supervisor.start(OBJECT_STORE.name, OBJECT_STORE.module, new)
        with open_lab(new, connect(new)) as lab:
            found = lab.store.rows("SELECT record FROM datasets")
            assert '"revision":' in found[0][0]
            assert 1 <= int(found[0][0].partition('"revision":')[2].rstrip("}")) <= revision
            (row,) = lab.store.rows("SELECT json_extract_string(record, '$.files[0].key') FROM versions")
            with connect(new).open(row[0]) as stored:
                digest = sha256_hex(stored.read())
            assert lab.store.rows("SELECT json_extract_string(record, '$.files[0].sha256') FROM versions") == [
                (digest,)
            ]
        lake = Lake(new.path / "catalog" / "lake.ducklake", connect(new))
        assert lake.count("atlas", 1) == 40
        lake.close()


@pytest.mark.slow
def test_what_was_acknowledged_is_elsewhere_seconds_before_the_machine_is_gone(tmp_path: Path) -> None:
    home, away = Home(tmp_path / "lab"), tmp_path / "away"
    home.folder()
    (home.path / "datalab.toml").write_text(f'{SETTINGS}[backup]\nfolder = "{away}"\nevery = 0.5\n')
    acknowledged: list[float] = []
    with Supervisor() as supervisor:
        processes = [supervisor.start(one.name, one.module, home) for one in (OBJECT_STORE, LAB)]
        with lab_client(home, "operator") as client, lab_client(home, "pipeline") as pipeline:
            dataset = client.register_dataset(draft(id="atlas"))
            pipeline.publish("atlas", request(connect(home), tmp_path, "atlas", "one", rows=40))
            until(lambda: (away / "latest").exists() and list(newest(away).glob("objects/data/atlas/v1/*")))
            assert newest(away).stat().st_mode & 0o077 == 0
            while len(acknowledged) < 20:
                patch = DatasetPatch(title=f"Title {dataset.revision}")
                dataset = client.update_dataset("atlas", patch, revision=dataset.revision)
                acknowledged.append(time.monotonic())
            until(lambda: f"Title {dataset.revision - 1}" in (newest(away) / "changes.jsonl").read_text())
            shipped = time.monotonic() - acknowledged[-1]
        for process in processes:
            process.kill()
            process.wait()
            supervisor.forget(process)
    key = key_of(home, tmp_path)
    shutil.rmtree(home.path)
    print(f"shipped {shipped:.2f} s after the last change was acknowledged")
    new = Home(tmp_path / "new")
    (new.folder() / "datalab.toml").write_text(SETTINGS)
    said = restore(away, new, *key)
    assert "1 datasets, 1 versions and 1 objects" in said
    assert "is whole" in said
    store = Store(new.path / "catalog" / "records.duckdb")
    assert store.get(Dataset, "datasets", "atlas") == dataset
    store.close()


def until(seen: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_backup_is_restored_only_as_the_lab_has_signed_it(running: Home, tmp_path: Path) -> None:
    """One byte of each of its files is changed in turn; each time nothing is restored, and it is said what is wrong."""
    out, new = tmp_path / "out", Home(tmp_path / "new")
    with lab_client(running, "operator") as client, lab_client(running, "pipeline") as pipeline:
        client.register_dataset(draft(id="atlas"))
        pipeline.publish("atlas", request(connect(running), tmp_path, "atlas", "one", rows=40))
    said = backup(out, running)
    assert str(public_backup_key(running)) in said
    assert "1 objects" in backup(out, running)
    key = key_of(running, tmp_path)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    assert {"manifest.json", "manifest.jws", "records.duckdb", "lake.ducklake", "erasure-key"} <= {
        f.name for f in files
    }
    assert any("objects" in path.parts for path in files)
    for path in files:
        before = path.read_bytes()
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(
            (RefusedError, BadInputError), match=r"not what it was|was changed|not the one that the lab"
        ):
            restore(out, new, *key)
        path.unlink()
        with pytest.raises((RefusedError, BadInputError, NotFoundError), match=r"missing|no whole backup"):
            restore(out, new, *key)
        path.write_bytes(before)
    with pytest.raises(BadInputError, match="not said who must have signed"):
        restore(out, new)
    with pytest.raises(RefusedError, match="is signed"):
        restore(out, new, "--unsigned")
    write_key_pair(generate_key(), tmp_path)
    with pytest.raises(RefusedError, match="by another key"):
        restore(out, new, "--key", str(tmp_path / PUBLIC_FILE))
    (out / "manifest.jws").unlink()
    with pytest.raises(RefusedError, match=r"not signed.*--unsigned"):
        restore(out, new, *key)
    assert not (new.path / "catalog").exists()
    assert "1 datasets" in restore(out, new, "--unsigned")


def test_who_has_a_backup_has_no_key_to_sign_another_one(running: Home, tmp_path: Path) -> None:
    out, new = tmp_path / "out", Home(tmp_path / "new")
    backup(out, running)
    stranger = out / "home" / "permit-keys" / "stranger.jwk"
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_text("{}")
    manifest = json.loads((out / "manifest.json").read_bytes())
    path, size = str(stranger.relative_to(out)), stranger.stat().st_size
    manifest["files"].append({"path": path, "sha256": sha256_hex(stranger.read_bytes()), "bytes": size})
    forged = json.dumps(manifest).encode()
    (out / "manifest.json").write_bytes(forged)
    found = list(out.rglob(PRIVATE_FILE))
    assert found, "the key for evidence"
    for one in found:
        sign_manifest(out, forged, load_private_key(one), changes=False)
        with pytest.raises(RefusedError, match="by another key"):
            restore(out, new, *key_of(running, tmp_path))


@pytest.mark.slow
def test_changes_beside_a_backup_are_restored_only_as_the_lab_has_signed_them(tmp_path: Path) -> None:
    home, away, new = Home(tmp_path / "lab"), tmp_path / "away", Home(tmp_path / "new")
    home.folder()
    (home.path / "datalab.toml").write_text(f'{SETTINGS}[backup]\nfolder = "{away}"\nevery = 0.2\n')
    with Supervisor() as supervisor:
        for one in (OBJECT_STORE, LAB):
            supervisor.start(one.name, one.module, home)
        with lab_client(home, "operator") as client:
            until((away / "latest").exists)
            for name in ("one", "two", "three"):
                client.register_dataset(draft(id=name))
                until(lambda name=name: f"dataset/{name}" in (newest(away) / "changes.jsonl").read_text())  # type: ignore[misc]
    key = key_of(home, tmp_path)
    (new.folder() / "datalab.toml").write_text(f'{SETTINGS}[backup]\nkey = "{key[1]}"\n')
    log = newest(away) / "changes.jsonl"
    before = log.read_bytes()
    lines = before.splitlines(keepends=True)
    swapped, gap = [*lines[1::-1], *lines[2:]], [lines[0], *lines[2:]]
    altered = before.replace(b"dataset/two", b"dataset/tow")
    for content, said in (
        (b"".join(swapped), "missing, or in another order"),
        (b"".join(gap), "missing, or in another order"),
        (b"".join(lines[:-1]), "cut off"),
        (before[:-1], "cut off"),
        (b"", "cut off"),
        (altered, "A change in the backup is not the one"),
        (b"x" + before, "signature in the backup was changed"),
    ):
        log.write_bytes(content)
        with pytest.raises(RefusedError, match=said):
            restore(away, new)
    log.write_bytes(before + lines[0][:100])  # torn: the machine was lost while it was written
    end = log.with_name("changes.jws").read_bytes()
    log.with_name("changes.jws").write_bytes(bytes([*end[:90], end[90] ^ 1, *end[91:]]))
    with pytest.raises(RefusedError, match=r"signature in the backup was changed.*changes\.jws"):
        restore(away, new)
    log.with_name("changes.jws").unlink()
    with pytest.raises(RefusedError, match="a signature is missing"):
        restore(away, new)
    log.with_name("changes.jws").write_bytes(end)
    none = (away / "erasures.jws").read_bytes()
    for content, said in (
        (none + b"forged\n", "erased are not those that the lab has signed"),
        (b"x" + none, "signature in the backup was changed"),
        (b"", "signature in the backup was changed"),
    ):
        (away / "erasures.jws").write_bytes(content)
        with pytest.raises(RefusedError, match=said):
            restore(away, new)
    (away / "erasures.jws").write_bytes(none)
    with pytest.raises(RefusedError, match="records of who was erased are missing"):
        restore(newest(away), new)
    (away / "latest").write_bytes(b"\xff")
    with pytest.raises(NotFoundError, match="no whole backup"):
        restore(away, new)
    (away / "latest").write_text(log.parent.name)
    assert not (new.path / "catalog").exists()
    assert "3 datasets" in restore(away, new)


@pytest.mark.slow
def test_who_is_erased_is_gone_from_the_labs_own_backups_and_told_of_the_others(tmp_path: Path) -> None:
    """A planted value, and the wrapped key of the raw file that it stood in, are looked for in every byte of them."""
    home, away, new = Home(tmp_path / "lab"), tmp_path / "away", Home(tmp_path / "new")
    home.folder()
    (home.path / "datalab.toml").write_text(f'{SETTINGS}[backup]\nfolder = "{away}"\nevery = 0.2\n')
    raw, person = tmp_path / "raw.csv", tmp_path / "person"
    raw.write_text(f"pid\n{PERSON}\n")
    person.write_text(PERSON)
    with Supervisor() as supervisor:
        for one in (OBJECT_STORE, LAB):
            supervisor.start(one.name, one.module, home)
        with lab_client(home, "operator") as client, lab_client(home, "pipeline") as pipeline:
            client.register_dataset(draft(id="atlas"))
            upload = client.upload("atlas", raw)
            pipeline.publish("atlas", request(connect(home), tmp_path, "atlas", "one", rows=40))
            until(lambda: [one for one in kept(away) if upload.key in str(one)] and held(away, PERSON.encode()))
            until(lambda: client.events()[-1].action == "backup.kept")
            backup(tmp_path / "by-hand", home)
            before = tmp_path / "before"
            shutil.copytree(away, before)
            assert upload.sealed is not None
            assert held(away, upload.sealed.wrapped_key.encode())
            arguments = ["gbsg", str(person), "--reason", "GDPR Art. 17", "--home", str(home.path)]
            said = CliRunner().invoke(steward_commands.erase, arguments, catch_exceptions=False).stdout
            begun = time.monotonic()
            assert f"in {tmp_path / 'by-hand'} holds the person still: take it again, or destroy it" in said
            assert f"in {away} holds the person still: the lab takes it anew" in said
            planted = (PERSON.encode(), upload.sealed.wrapped_key.encode())
            until(lambda: not any(held(away, one) for one in planted))
            print(f"gone from the lab's own backup {time.monotonic() - begun:.2f} s after the erasure")
            until(lambda: {one.folder: len(one.erased_since) for one in client.kept_backups()}[str(away)] == 0)
            assert held(tmp_path / "by-hand", PERSON.encode())
            backup(tmp_path / "by-hand", home)
            assert not held(tmp_path / "by-hand", PERSON.encode())
            assert [len(one.erased_since) for one in client.kept_backups()] == [0, 0]
    key = key_of(home, tmp_path)
    (new.folder() / "datalab.toml").write_text(f'{SETTINGS}[backup]\nkey = "{key[1]}"\n')
    records = (away / "erasures.jws").read_bytes()
    (away / "erasures.jws").write_bytes((before / "erasures.jws").read_bytes())  # it was signed, and is an earlier one
    with pytest.raises(RefusedError, match="erased are missing: 0 are left of 1"):
        restore(away, new)
    (before / "erasures.jws").write_bytes(records)  # the machine was lost before a new backup was whole
    assert "1 erasures hold" in restore(before, new)
    assert places(new, PERSON.encode()) == []


def kept(folder: Path) -> list[Path]:
    """The files of a folder in which they come and go."""
    return [Path(at) / name for at, _, names in os.walk(folder) for name in names]


def held(folder: Path, value: bytes) -> bool:
    """Whether a value is in any byte of such a folder."""
    for path in kept(folder):
        with contextlib.suppress(FileNotFoundError):
            if value in path.read_bytes():
                return True
    return False
