"""What is due: what no version was made of, and the newest file of a contract that has changed."""

from __future__ import annotations

from datetime import UTC, datetime

from catalog.upload_records import Landed, Upload
from pipelines.landings import due


def landing(name: str, *published_by: str, dataset: str = "a", newest: bool = False, versions: int = 0) -> Landed:
    upload = Upload(
        id=name,
        dataset=dataset,
        filename="raw.csv",
        key=f"landing/h/{dataset}/{name}/raw.csv",
        sha256="0" * 64,
        bytes=1,
        uploaded_by="steward",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return Landed(upload=upload, holder="h", published_by=published_by, newest=newest, versions=versions)


def names(*landings: Landed, contract: str = "c1", refused: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    return [(one.landing.upload.id, one.number) for one in due(landings, lambda _: contract, refused)]


def test_what_has_no_version_is_due_and_becomes_the_next_ones() -> None:
    new = [landing("one", "c1", versions=1), landing("two", versions=1), landing("three", newest=True, versions=1)]
    assert names(*new) == [("two", 2), ("three", 3)]
    assert names(landing("one"), landing("other", dataset="b")) == [("one", 1), ("other", 1)]


def test_a_changed_contract_makes_the_newest_file_due_and_no_older_one() -> None:
    both = [landing("one", "c1", versions=2), landing("two", "c1", newest=True, versions=2)]
    assert names(*both) == []
    assert names(*both, contract="c2") == [("two", 3)]


def test_what_was_refused_is_due_again_under_another_contract_only() -> None:
    assert names(landing("one", newest=True), refused=("one|c1",)) == []
    assert names(landing("one", newest=True), contract="c2", refused=("one|c1",)) == [("one", 1)]
