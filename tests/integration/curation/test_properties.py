"""What holds for every file: no row is lost, and after preparing nobody stands out."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalab.curation.contract import Contract, load_contract
from datalab.curation.deidentify import prepare
from datalab.curation.engine import curate
from tests.unit.curation.examples import HEADER, write_contract

Row = tuple[str, str, str, str, str]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return load_contract(write_contract(tmp_path_factory.mktemp("contract")))


def write_rows(path: Path, rows: list[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.split(","))
        writer.writerows(rows)
    return path


GOOD_ROW = st.tuples(
    st.just("1"),
    st.integers(0, 120).map(str),
    st.sampled_from("fm"),
    st.sampled_from(["", "?", "60", "70.5"]),
    st.sampled_from("019"),
)
ANY = st.text(alphabet='0159fm?.-,"\n é', max_size=5)
ANY_ROW = st.tuples(ANY, ANY, ANY, ANY, ANY)


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(GOOD_ROW | ANY_ROW, max_size=30))
def test_each_record_is_a_row_rejected_or_excluded(ward: Contract, rows: list[Row]) -> None:
    with TemporaryDirectory() as path:
        folder = Path(path)
        report = curate(ward, write_rows(folder / "ward.csv", rows), folder / "out")
    assert report.rows_in == len(rows)
    assert report.rows is not None
    assert report.rejected_rows is not None
    assert report.rows + report.rejected_rows + (report.excluded["not known"] or 0) == len(rows)


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(GOOD_ROW, min_size=1, max_size=40))
def test_after_preparing_every_class_has_k_rows(ward: Contract, rows: list[Row]) -> None:
    with TemporaryDirectory() as path:
        folder = Path(path)
        report = prepare(ward, write_rows(folder / "ward.csv", rows), folder / "sent.csv")
        with (folder / "sent.csv").open(newline="") as file:
            sent = list(csv.DictReader(file))
        curated = curate(ward, folder / "sent.csv", folder / "out", prepared=True)
    classes = Counter((one["Age"], one["Sex"]) for one in sent)
    before = Counter((int(age) // 10, sex) for _, age, sex, _, _ in rows)
    assert all(size >= 3 for size in classes.values())
    assert len(sent) == sum(size for size in before.values() if size >= 3) == report.rows_out
    assert report.suppressed == len(rows) - len(sent)
    assert (report.classes, report.smallest_class) == (len(classes), min(classes.values(), default=0))
    assert curated.passed
    assert curated.rejected_rows == 0


@settings(max_examples=5, deadline=None)
@given(rows=st.lists(GOOD_ROW, min_size=3, max_size=20), order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_tells_nothing(ward: Contract, rows: list[Row], order: object) -> None:
    shuffled = list(rows)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    with TemporaryDirectory() as path:
        folder = Path(path)
        first = prepare(ward, write_rows(folder / "1.csv", rows), folder / "sent1.csv")
        second = prepare(ward, write_rows(folder / "2.csv", shuffled), folder / "sent2.csv")
    assert first.sha256 == second.sha256
