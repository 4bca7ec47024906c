"""A person is removed: a planted value is looked for in every byte that the lab keeps."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from catalog import datasets, uploads
from catalog.drafts import file_to_come
from catalog.erasure.eraser import Eraser
from catalog.erasure.records import KIND, Erasure, ErasureDraft
from catalog.errors import NotPermittedError
from catalog.lab import Lab, open_lab
from catalog.records import PublishRequest, Role, StoredFile
from catalog.upload_records import Upload
from datalab.curation.report import Cell, Column
from datalab.home import Home
from datalab.permits.keys import PUBLIC_FILE, load_public_key
from datalab.permits.signature import verified_payload
from datalab.storage import store
from datalab.storage.service import SERVICE
from datalab.storage.store import ObjectStore
from datalab.supervisor import Supervisor
from pipelines.sources import BUILT_IN
from pipelines.succession import keep_contract
from tests.unit.catalog.examples import account, draft, report

SOURCES = Path(__file__).parents[2] / "golden" / "sources"
PERSON = "zz-person-4711-planted"
AGE = "99.125"
"""The oldest of all: an extreme that statistics of files and versions hold."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with an object store of its own, so that all of its bytes can be looked through."""
    home = Home(tmp_path_factory.mktemp("erasure"))
    (home.path / "datalab.toml").write_text("[ports]\nobject_store = 0\n")
    with Supervisor() as running:
        running.start(SERVICE.name, SERVICE.module, home)
        yield home


@pytest.fixture
def objects(own: Home) -> ObjectStore:
    return store.connect(own)


def request(objects: ObjectStore, folder: Path, dataset: str, intent: str, *, rows: int) -> PublishRequest:
    """Curated data with the person in it, as a pipeline hands it over."""
    path = folder / f"{intent}.parquet"
    table = (
        "SELECT 'person-' || range AS person, 20.0 + range % 50 AS age, (range % 2)::INTEGER AS event "
        f"FROM range({rows}) "
        f"UNION ALL SELECT '{PERSON}', {AGE}, 1"
    )
    duckdb.execute(f"COPY ({table}) TO '{path}' (FORMAT parquet, COMPRESSION uncompressed)")
    key = f"staging/{dataset}/{intent}/data.parquet"
    stored = objects.put_file(key, path)
    assert stored.sha256 is not None
    age = Column(
        name="age",
        type="number",
        unit="a",
        description="",
        missing=0,
        low=20.0,
        high=69.0,
        cells=(Cell(high=20, count=0), Cell(low=20, count=rows + 1)),
    )
    stated = report(
        rows=rows + 1,
        rows_in=rows + 3,
        excluded={"censored": 1},
        parquet_sha256=stored.sha256,
        parquet_bytes=stored.bytes,
        outcome="event",
        pseudonym="person",
        events=rows // 2 + 1,
        columns=[
            {"name": "person", "type": "string", "unit": None, "description": "", "missing": 0},
            age,
            {"name": "event", "type": "integer", "unit": None, "description": "", "missing": 0},
        ],
    )
    file = StoredFile(key=key, sha256=stored.sha256, bytes=stored.bytes)
    return PublishRequest(intent=intent, files=(file,), report=stated, pipeline_run="run-1")


def fill(lab: Lab, home: Home, folder: Path, name: str) -> Upload:
    """A dataset in which the person is everywhere: raw, staged, in two versions, and in a report of the pipeline's."""
    dataset = datasets.register(lab.store, draft(id=name), account())
    raw = f"pid,age\n{PERSON},{AGE}\nperson-1,21\n".encode()
    upload = uploads.receive(lab.store, lab.landing, dataset, [raw], filename="raw.csv", account=account())
    lab.publisher.publish(name, request(lab.objects, folder, name, f"{name}-1", rows=40), actor="pipeline")
    lab.publisher.publish(name, request(lab.objects, folder, name, f"{name}-2", rows=80), actor="pipeline")
    lab.objects.put_bytes(f"staging/{name}/left/data.csv", raw)
    drafted = lab.drafts.begin(account(Role.STEWARD, organisation="gbsg"), "lab")
    drafted = lab.drafts.save(drafted, fields={"title": name, "holder": "gbsg"})
    packed = gzip.compress(raw)
    drafted = lab.drafts.announce_file(drafted, file_to_come(f"{name}.csv.gz", len(packed), 0))
    lab.drafts.receive(drafted, 0, packed)
    (home.folder("curation", name, "run-1") / "report.json").write_text(f'{{"high": {AGE}}}')
    return upload


def places(home: Home, value: bytes) -> list[str]:
    """Every file of a home that holds a value, in any byte."""
    return sorted(
        str(path.relative_to(home.path))
        for path in home.path.rglob("*")
        if path.is_file() and not path.is_symlink() and value in path.read_bytes()
    )


ASKED = ErasureDraft(holder="gbsg", pseudonym=PERSON, reason="GDPR Art. 17")


def test_no_byte_of_an_erased_person_is_left_and_a_signed_record_is(
    own: Home, objects: ObjectStore, tmp_path: Path
) -> None:
    with open_lab(own, objects) as lab:
        upload = fill(lab, own, tmp_path, "atlas")
        before = datasets.versions(lab.store, "atlas")
        held = places(own, PERSON.encode())
        assert any(one.startswith("objects/") for one in held)
        assert "catalog/lake.ducklake" in held or "catalog/lake.ducklake.wal" in held
        with pytest.raises(NotPermittedError):
            lab.eraser.erase(ASKED, account(Role.STEWARD, organisation="erasmus"))
        done = lab.eraser.erase(ASKED, account(Role.STEWARD, organisation="gbsg"))

        assert places(own, PERSON.encode()) == []
        after = datasets.versions(lab.store, "atlas")
        assert [one.report.rows for one in after] == [40, 80]
        assert [one.report.events for one in after] == [20, 40]
        assert [one.told and one.told.rows for one in after] == [one.told and one.told.rows for one in before]
        for old, new in zip(before, after, strict=True):
            assert new.files[0].sha256 == new.report.parquet_sha256 != old.report.parquet_sha256
            assert [(stone.erasure, stone.sha256) for stone in new.erasures] == [(done.id, old.report.parquet_sha256)]
            assert sum(cell.count or 0 for cell in new.report.columns[1].cells) == new.report.rows
        assert [one.key for one in objects.list("data/atlas/")] == [one.files[0].key for one in after]
        gone = lab.store.get(Upload, "uploads", upload.id)
        assert (gone.sealed, gone.erased is not None) == (None, True)
        assert upload.sealed is not None
        assert places(own, upload.sealed.wrapped_key.encode()) == []  # nobody can open a copy of the file
        assert list(objects.client.list_objects(objects.landing.bucket, recursive=True, include_version=True)) == []
        assert list(objects.list("uploads/")) == []  # packed, so that its bytes do not show who is in it
        assert lab.store.verify_events().broken_at is None
        assert lab.store.rows("SELECT count(*) FROM events WHERE action = 'erasure.done'") == [(1,)]

        key = load_public_key(own.path / "secrets" / "evidence" / PUBLIC_FILE)
        assert done.signed is not None
        signed = Erasure.model_validate_json(verified_payload(done.signed, kind=KIND, keys=[key]))
        assert signed == done.model_copy(update={"signed": None})
        assert len(signed.versions) == 2
        again = lab.publisher.publish(
            "atlas", request(objects, tmp_path, "atlas", "atlas-3", rows=10), actor="pipeline"
        )
        assert lab.eraser.erase(ASKED, account()).versions[-1].version == again.number
        assert places(own, PERSON.encode()) == []
    with open_lab(own, objects) as lab:  # both files open again, and say the same
        assert [one.number for one in datasets.versions(lab.store, "atlas")] == [1, 2, 3]
        with lab.publisher.alone():
            assert lab.eraser.marks("gbsg").marks == (done.mark, done.mark)


def test_by_a_contract_that_comes_with_datalab_only_the_files_that_name_the_person_go(
    own: Home, objects: ObjectStore
) -> None:
    keep_contract(own, BUILT_IN / "omop-person.odcs.yaml")  # as each curation does
    head, *rows = (SOURCES / "omop-person.csv").read_text().splitlines()
    with open_lab(own, objects) as lab:
        stated = draft(id="omop", contract_id="omop-person", contract_version="1.0.0")
        dataset = datasets.register(lab.store, stated, account())
        made = {
            row.partition(",")[0]: uploads.receive(
                lab.store, lab.landing, dataset, [f"{head}\n{row}\n".encode()], filename="p.csv", account=account()
            )
            for row in rows[:2]
        }
        asked = ErasureDraft(holder="gbsg", pseudonym="2", reason="GDPR Art. 17")
        assert lab.eraser.erase(asked, account()).uploads == (made["2"].id,)  # person 1 has 2s in codes and dates
        kept = lab.store.get(Upload, "uploads", made["1"].id)
        assert (kept.erased, kept.sealed is None) == (None, False)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["_clear_leftovers", "_clear_upload", "_sign"])
def test_an_erasure_that_is_interrupted_is_finished_at_the_next_start(
    step: str, own: Home, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken-{step.strip('_').replace('_', '-')}"

    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    with open_lab(own, objects) as lab:
        fill(lab, own, tmp_path, name)
        with monkeypatch.context() as broken:
            broken.setattr(Eraser, step, fails)
            with pytest.raises(KeyboardInterrupt):
                lab.eraser.erase(ASKED, account())
    with open_lab(own, objects) as lab:
        assert places(own, PERSON.encode()) == []
        assert {one.state for one in lab.eraser.every()} == {"done"}
        assert [one.report.rows for one in datasets.versions(lab.store, name)] == [40, 80]
