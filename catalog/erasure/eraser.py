"""Carrying out erasures: each step can be repeated, so that one that a crash interrupted is done again at the start.

    record → versions written anew → raw files, staging and old files removed → signed → both catalog files written anew
    → the object store's files compacted → done

The record is kept outside the catalog too (``HOME/erasures``), so that a catalog that is restored from a backup of
before the erasure is cleared of the person again.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from catalog.drafts import Drafts
from catalog.erasure.marks import KEY
from catalog.erasure.records import KIND, Erasure, ErasureDraft, Marks
from catalog.evidence import evidence_key
from catalog.lake import Lake
from catalog.landing import Landing
from catalog.permissions import check_holder
from catalog.publish import Publisher
from catalog.records import AccountDraft, Dataset, StoredFile, Tombstone, Version
from catalog.run_records import DatasetVersion
from catalog.store import Store, now
from catalog.upload_records import Upload
from datalab.curation.again import count_again, told_again, write_without
from datalab.curation.database import literal
from datalab.curation.naming import names, own_contract
from datalab.curation.optout import OptOuts, mark_of
from datalab.home import Home, write_atomically
from datalab.permits.keys import public_key
from datalab.permits.signature import sign, verified_payload
from datalab.storage.compaction import compact
from datalab.storage.store import ObjectStore

_PIECE = 1 << 20


class Eraser:
    """Removes people from what the lab keeps of a data holder's."""

    def __init__(
        self,
        home: Home,
        store: Store,
        lake: Lake,
        objects: ObjectStore,
        publisher: Publisher,
        drafts: Drafts,
        landing: Landing,
    ) -> None:
        self._home = home
        self._store = store
        self._lake = lake
        self._objects = objects
        self._publisher = publisher
        self._drafts = drafts
        self._landing = landing
        self._key = home.secret(KEY).encode()
        self._signer = evidence_key(home)  # there from the start, so that every backup has it

    def erase(self, draft: ErasureDraft, account: AccountDraft) -> Erasure:
        """Remove a person, and leave them out from now on.

        Raises:
            NotPermittedError: the data is another holder's.
            DatalabError: a step failed; what is left of it is done when the lab server starts again, or is asked again.
        """
        check_holder(account, draft.holder)
        mark = mark_of(self._key, draft.holder, draft.pseudonym)
        known = [one for one in self.every() if (one.holder, one.mark) == (draft.holder, mark)]
        self._clear_drafts(draft.holder, draft.pseudonym)
        uploads = tuple(one.id for one in self._uploads(draft.holder) if self._holds(one, draft.pseudonym))
        erasure = Erasure(
            id=uuid.uuid4().hex,
            holder=draft.holder,
            mark=mark,
            reason=draft.reason,
            requested_by=account.name,
            created=now(),
            uploads=uploads,
            elsewhere=self._nodes(draft.holder),
        )
        if known and known[0].state == "pending":
            erasure = known[0]
        else:
            with self._store.change(account.name) as change:
                change.insert("erasures", erasure.id, erasure)
                change.event("erasure.requested", f"erasure/{erasure.id}", holder=draft.holder, reason=draft.reason)
        return self._carry_out(erasure)

    def resume(self) -> None:
        """Carry out what a crash interrupted, and again what a restored catalog does not know of."""
        known = {one.id: one for one in self.every()}
        for path in sorted(self._home.folder("erasures").glob("*.jws")):
            payload = verified_payload(path.read_text("ascii").strip(), kind=KIND, keys=[public_key(self._signer)])
            done = Erasure.model_validate_json(payload)
            if done.id not in known:
                again = done.model_copy(update={"state": "pending", "finished": None, "versions": ()})
                with self._store.change(done.requested_by) as change:
                    change.insert("erasures", again.id, again)
                    change.event("erasure.replayed", f"erasure/{again.id}", holder=again.holder)
                known[again.id] = again
        for one in known.values():
            if one.state == "pending":
                self._carry_out(one)

    def every(self) -> list[Erasure]:
        """Return all erasures, the oldest first."""
        rows = self._store.rows("SELECT record FROM erasures ORDER BY json_extract_string(record, '$.created')")
        return [Erasure.model_validate_json(row[0]) for row in rows]

    def marks(self, holder: str) -> Marks:
        """Return the marks of a holder's people who are left out."""
        return Marks(holder=holder, marks=tuple(one.mark for one in self.every() if one.holder == holder))

    def _carry_out(self, erasure: Erasure) -> Erasure:
        people = OptOuts(self._key, erasure.holder, frozenset({erasure.mark}))
        with self._publisher.alone():
            for dataset in self._datasets(erasure.holder):
                for version in self._versions(dataset.id):
                    if version.report.pseudonym is not None and version.files:
                        self._clear_version(version, people, erasure)
                self._clear_leftovers(dataset)
            for upload in self._uploads(erasure.holder):
                if upload.id in erasure.uploads:
                    self._clear_upload(upload, erasure)
            shutil.rmtree(self._home.path / "backups", ignore_errors=True)  # snapshots that nobody has fetched
            self._lake.forget()
            cleared = tuple(
                DatasetVersion(dataset=one.dataset, version=one.number)
                for dataset in self._datasets(erasure.holder)
                for one in self._versions(dataset.id)
                if any(stone.erasure == erasure.id for stone in one.erasures)
            )
            done = erasure.model_copy(update={"versions": cleared, "finished": now(), "state": "done"})
            done = done.model_copy(update={"signed": self._sign(done)})
            self._store.rewrite()
        compact(self._home)
        with self._store.change(erasure.requested_by) as change:
            change.update("erasures", done.id, done)
            change.event(
                "erasure.done",
                f"erasure/{done.id}",
                holder=done.holder,
                versions=[f"{one.dataset} v{one.version}" for one in cleared],
                uploads=list(done.uploads),
            )
        return done

    def _clear_version(self, version: Version, people: OptOuts, erasure: Erasure) -> None:
        """Write a version anew without some people, if they are in it."""
        files: list[StoredFile] = []
        with self._lake.reading() as database:
            for file in version.files:
                source = f"read_parquet({literal(self._objects.uri(file.key))})"
                key = f"{file.key.removesuffix('.parquet').partition('.')[0]}.{erasure.id}.parquet"
                column = version.report.pseudonym or ""
                written = write_without(database, source, self._objects.uri(key), column, people)
                files.append(self._stored(key) if written else file)
            if tuple(files) == version.files:
                return
            uris = ", ".join(literal(self._objects.uri(file.key)) for file in files)
            digest = files[0].sha256 if len(files) == 1 else hashlib.sha256("".join(f.sha256 for f in files).encode())
            report = count_again(
                database,
                f"read_parquet([{uris}])",
                version.report,
                parquet_sha256=digest if isinstance(digest, str) else digest.hexdigest(),
                parquet_bytes=sum(file.bytes for file in files),
            )
        self._lake.replace_version(version.dataset, version.number, [self._objects.uri(file.key) for file in files])
        stone = Tombstone(erasure=erasure.id, at=now(), sha256=version.report.parquet_sha256)
        anew = version.model_copy(
            update={
                "report": report,
                "told": told_again(version.public, version.report, report),
                "files": tuple(files),
                "erasures": (*version.erasures, stone),
            }
        )
        with self._store.change(erasure.requested_by) as change:
            change.replace_version(anew)
            self._publisher.forget(change, anew)
            change.event(
                "version.erased",
                f"dataset/{version.dataset}/v{version.number}",
                erasure=erasure.id,
                before=stone.sha256,
            )

    def _clear_leftovers(self, dataset: Dataset) -> None:
        """Remove what lies about of a dataset: old files of its versions, staging, and reports of its curation."""
        kept = {file.key for version in self._versions(dataset.id) for file in version.files}
        self._objects.erase(f"data/{dataset.id}/", keep=kept)
        self._objects.erase(f"staging/{dataset.id}/")
        shutil.rmtree(self._home.path / "curation" / dataset.id, ignore_errors=True)

    def _clear_upload(self, upload: Upload, erasure: Erasure) -> None:
        """Remove a raw file, and its key: who has a copy of the file cannot read it any more."""
        self._landing.remove(upload)
        if upload.sealed is not None:
            gone = upload.model_copy(update={"erased": now(), "sealed": None})
            with self._store.change(erasure.requested_by) as change:
                change.update("uploads", upload.id, gone)
                change.event("upload.erased", f"upload/{upload.id}", erasure=erasure.id)

    def _holds(self, upload: Upload, pseudonym: str) -> bool:
        """Return whether a raw file names a person, by its contract where the lab has it."""
        if upload.sealed is None:
            return False
        dataset = self._store.get(Dataset, "datasets", upload.dataset)
        contract = own_contract(self._home.folder("contracts"), dataset.contract_id, dataset.contract_version)
        return names(lambda: self._landing.read(upload), pseudonym, contract)

    def _clear_drafts(self, holder: str, pseudonym: str) -> None:
        """Remove files with a person in them that have been uploaded and not handed in, and what was found there."""
        for one in self._drafts.of_organisation(holder):
            if one.file is not None and names(partial(self._drafts.read, one), pseudonym, None):
                self._drafts.remove_file(one, found=None)

    def _stored(self, key: str) -> StoredFile:
        digest, size = hashlib.sha256(), 0
        for piece in self._read(key):
            digest.update(piece)
            size += len(piece)
        return StoredFile(key=key, sha256=digest.hexdigest(), bytes=size)

    def _read(self, key: str) -> Iterator[bytes]:
        with closing(self._objects.open(key)) as source:
            while piece := source.read(_PIECE):
                yield piece

    def _datasets(self, holder: str) -> list[Dataset]:
        rows = self._store.rows(
            "SELECT record FROM datasets WHERE json_extract_string(record, '$.holder') = ? "
            "AND json_extract_string(record, '$.kept_at') = 'lab' ORDER BY id",
            [holder],
        )
        return [Dataset.model_validate_json(row[0]) for row in rows]

    def _nodes(self, holder: str) -> tuple[str, ...]:
        rows = self._store.rows(
            "SELECT DISTINCT json_extract_string(record, '$.node') AS node FROM datasets "
            "WHERE json_extract_string(record, '$.holder') = ? AND node IS NOT NULL ORDER BY node",
            [holder],
        )
        return tuple(row[0] for row in rows)

    def _versions(self, dataset: str) -> list[Version]:
        rows = self._store.rows("SELECT record FROM versions WHERE dataset = ? ORDER BY number", [dataset])
        return [Version.model_validate_json(row[0]) for row in rows]

    def _uploads(self, holder: str) -> list[Upload]:
        rows = self._store.rows(
            "SELECT record FROM uploads WHERE json_extract_string(record, '$.dataset') IN "
            "(SELECT id FROM datasets WHERE json_extract_string(record, '$.holder') = ?) ORDER BY id",
            [holder],
        )
        return [Upload.model_validate_json(row[0]) for row in rows]

    def _sign(self, done: Erasure) -> str:
        """Sign what was done, and keep it beside the catalog."""
        signed = sign(done.model_dump_json().encode(), kind=KIND, key=self._signer)
        write_atomically(self._home.folder("erasures") / f"{done.id}.jws", f"{signed}\n".encode())
        return signed
