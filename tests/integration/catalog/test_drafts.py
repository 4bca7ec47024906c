"""Parts of files in a real object store: swept when nobody comes back for them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from catalog.drafts import IDLE, Drafts, check_content, file_to_come
from catalog.errors import ConflictError
from catalog.records import Role
from catalog.store import Store, now
from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from datalab.sealing.keys import KeyRing
from datalab.storage.store import ObjectStore
from tests.unit.catalog.examples import account


def test_what_nobody_comes_back_for_is_swept_and_what_was_written_stays(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    store = Store(tmp_path / "records.duckdb")
    drafts, steward = Drafts(store, object_store, KeyRing(Home(tmp_path))), account(Role.STEWARD)
    draft = drafts.announce_file(drafts.begin(steward, "lab"), file_to_come("a b.csv", 8, 0))
    draft = drafts.save(draft, fields={"title": "Kept"})
    with pytest.raises(ConflictError, match="goes on at byte 0"):
        drafts.receive(draft, 4, b"1\n2\n")
    drafts.receive(draft, 0, b"a,b\n1,2\n")
    orphan = f"uploads/{'0' * 32}/{0:015}"
    object_store.put_bytes(orphan, b"of a draft that is gone")
    (part,) = object_store.list(f"uploads/{draft.id}/")
    with object_store.open(part.key) as stored:
        assert b"1,2" not in stored.read()
    assert drafts.sweep() >= 1  # the orphan; other tests may have left some
    assert b"".join(drafts.read(draft)) == b"a,b\n1,2\n"
    drafts.sweep(now() + IDLE + timedelta(minutes=1))
    swept = drafts.get(draft.id, steward)
    assert (swept.file, swept.fields, list(drafts.read(swept))) == (None, {"title": "Kept"}, [])
    drafts.discard(swept)
    with pytest.raises(NotFoundError):
        drafts.get(draft.id, steward)
    assert [one.action for one in store.events(after=0, limit=100)][-1] == "draft.discarded"
    store.close()


@pytest.mark.parametrize(
    "beginning",
    [
        b"PK\x03\x04", b"\x1f\x8b\x08", b"%PDF-1.7", b"MZ\x90", b"\x7fELF", b"#!/bin/sh", b"a,b\n\x00",
        b"\xff\xfea\x00", b"<html>",
        b"\n <!DOCTYPE html>", b"\xef\xbb\xbf<script>", b"<?xml version='1.0'?>", b"<svg/onload=x>",
    ],
)  # fmt: skip
def test_what_is_no_text_or_active_is_refused_by_its_bytes(beginning: bytes) -> None:
    with pytest.raises(BadInputError, match="no table of text"):
        check_content("table.csv", beginning)


def test_a_table_is_no_markup_though_it_may_hold_some() -> None:
    check_content("table.csv", b"a,b\n<3 apples,1\n")
    check_content("table.csv", "höhe;größe\n1;<b>\n".encode())
