"""A file on its way into the lab: as one form from a browser without JavaScript, and in each format that is taken."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import httpx
import pytest

from catalog.client import lab_client
from catalog.drafts import MAX_WHOLE, PART_BYTES
from catalog.records import Role
from datalab.home import Home
from datalab.storage.store import ObjectStore
from tests.support.filled import upload
from tests.support.pages import Person, settle, signed_in, text_of

ROWS = [{"visit": {"age": 30 + number % 50, "ward": "AB"[number % 2]}, "weight": 50.5 + number} for number in range(40)]
NDJSON = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture
def http(catalog_home: Home, people: dict[Role, Person]) -> Iterator[httpx.Client]:
    """A steward's browser, whose drafts are discarded at the end."""
    with signed_in(catalog_home, people[Role.STEWARD]) as made:
        made.timeout = httpx.Timeout(60)
        yield made
        for discard in re.findall(r"/register/[0-9a-f]+/discard", made.get("/register").text):
            made.post(discard)


def columns_of(page: httpx.Response) -> list[str]:
    return re.findall(r'<th scope="row"><code>([^<]+)</code>', page.text)


def test_without_javascript_a_file_arrives_as_one_form(http: httpx.Client, object_store: ObjectStore) -> None:
    assert 'action="/register/file/whole" enctype="multipart/form-data"' in http.get("/register").text
    line = b"Region 1;2004;F;6.67\n"
    content = b"Region;Year;Sex;Rate\n" + line * ((2 * PART_BYTES + 100) // len(line))
    sent = http.post("/register/file/whole", files={"file": ("incidence by year.csv", content, "text/csv")})
    assert sent.status_code == 303, text_of(sent)
    draft = sent.headers["Location"].split("/")[2]
    assert sent.headers["Location"] == f"/register/{draft}/columns"
    page = http.get(sent.headers["Location"])
    assert columns_of(page) == ["Region", "Year", "Sex", "Rate"]
    assert "They are the beginning of the file" in page.text  # the columns are seen from its first 16 MiB
    assert "incidence_by_year.csv has arrived: 16.8 MB" in text_of(http.get(f"/register/{draft}/file")).replace(
        "\xa0", " "
    )
    parts = [stored.key.rpartition("/")[2] for stored in object_store.list(f"uploads/{draft}/")]
    assert parts == [f"{at * PART_BYTES:015}" for at in range(3)]
    again = http.post(f"/register/{draft}/file/whole", files={"file": ("smaller.csv", b"a,b\n1,2\n", "text/csv")})
    assert again.headers["Location"] == f"/register/{draft}/columns"
    assert columns_of(http.get(again.headers["Location"])) == ["a", "b"]
    assert len(list(object_store.list(f"uploads/{draft}/"))) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("page.csv", b"<!DOCTYPE html><script>alert(1)</script>", "This is no table of text (HTML, XML)"),
        ("large.csv", b"<html>" + b"x" * PART_BYTES, "This is no table of text (HTML, XML)"),
        ("table.xlsx", b"PK\x03\x04", "Only CSV, JSON and Parquet files are taken:"),
        ("empty.csv", b"", "The file is empty. Choose another one."),
        ("twice.csv", b"a,a\n1,2\n", "The column a is there more than once."),
        ("table.json", b"a,b\n1,2\n", "The file is named like JSON and is none."),
        ("table.parquet", b"a,b\n1,2\n", "The file is named .parquet and is no Parquet file."),
        ("table.parquet", b"PAR1 and nothing of the kind", "The file cannot be read as Parquet"),
        ("table.csv", b"PAR1", "This is no table of text (Parquet)"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said_on_the_page_and_not_kept(
    http: httpx.Client, object_store: ObjectStore, name: str, content: bytes, said: str
) -> None:
    refused = http.post("/register/file/whole", files={"file": (name, content, "text/csv")})
    assert refused.status_code in {400, 422}
    assert said in text_of(refused)
    assert re.search(r'<div class="notice bad" role="alert"><p>', refused.text)
    assert list(object_store.list("uploads/")) == []


def test_a_file_that_its_reader_does_not_live_through_is_refused_and_the_lab_goes_on(
    catalog_home: Home, http: httpx.Client, object_store: ObjectStore, tmp_path: Path
) -> None:
    """A few kilobytes of Parquet that are gigabytes once they are read: a process of its own reads them, and ends."""
    table = "SELECT repeat('a', 200000000) AS a FROM range(20)"
    duckdb.execute(f"COPY ({table}) TO '{tmp_path / 'bomb.parquet'}' (FORMAT parquet, COMPRESSION zstd)")
    bomb = (tmp_path / "bomb.parquet").read_bytes()
    assert len(bomb) < 20_000
    server = Path(f"/proc/{catalog_home.address('lab')['pid']}")
    before = memory_of(server)
    refused = http.post("/register/file/whole", files={"file": ("bomb.parquet", bomb, "text/csv")})
    assert refused.status_code == 400, text_of(refused)
    assert "The file cannot be looked into" in text_of(refused)
    assert memory_of(server) - before < 50 << 20
    assert list(object_store.list("uploads/")) == []
    assert not list(catalog_home.folder("catalog").glob(".look-*"))
    french = http.post(
        "/register/file/whole", files={"file": ("b.parquet", bomb, "text/csv")}, headers={"Accept-Language": "fr"}
    )
    assert "Le fichier ne peut pas être examiné" in text_of(french)


def memory_of(process: Path) -> int:
    """The most memory that a process has had, in bytes."""
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
    return int(peak) * 1024


def test_a_first_file_that_is_refused_by_its_name_begins_no_draft(catalog_home: Home, http: httpx.Client) -> None:
    with lab_client(catalog_home, "operator") as client:
        before = len([one for one in client.events() if one.action == "draft.begun"])
        for name, content in (("b.xlsx", b"PK"), ("empty.csv", b"")):
            refused = http.post("/register/file/whole", files={"file": (name, content, "text/csv")})
            assert (refused.status_code, 'action="/register/file/whole"' in refused.text) == (400, True)
        assert "problem" in http.post("/register/file", data={"name": "b.xlsx", "bytes": "2", "modified": "0"}).json()
        assert http.post("/register/file/whole", data={"file": "a"}).status_code == 400
        assert len([one for one in client.events() if one.action == "draft.begun"]) == before


def test_a_file_that_is_refused_by_its_name_takes_no_other_ones_place(http: httpx.Client) -> None:
    draft = upload(http, "a.csv", b"a,b\n1,2\n")
    refused = http.post(f"{draft}/file/whole", files={"file": ("b.xlsx", b"PK", "text/csv")})
    assert (refused.status_code, "a.csv has arrived" in text_of(refused)) == (400, True)
    large = {"name": "large.parquet", "bytes": str(MAX_WHOLE + 1), "modified": "0"}
    assert "Split it into several datasets." in http.post(f"{draft}/file", data=large).json()["problem"]
    assert columns_of(http.get(f"{draft}/columns")) == ["a", "b"]


def test_a_form_from_another_site_or_of_another_kind_is_refused(http: httpx.Client) -> None:
    table = ("a.csv", b"a,b\n1,2\n", "text/csv")
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert http.post("/register/file/whole", files={"file": table}, headers=elsewhere).status_code == 403
    assert http.post("/register/file/whole", data={"file": "a"}).status_code == 400
    assert "no form with one file" in text_of(http.post("/register/file/whole", files={"other": table}))


def test_somebody_elses_draft_takes_no_file(catalog_home: Home, http: httpx.Client) -> None:
    draft = upload(http, "a.csv", b"a,b\n1,2\n")
    with signed_in(catalog_home, settle(catalog_home, "sven", Role.STEWARD)) as other:
        form = {"file": ("b.csv", b"c,d\n1,2\n", "text/csv")}
        assert other.post(f"{draft}/file/whole", files=form).status_code == 404
    assert columns_of(http.get(f"{draft}/columns")) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("visits.ndjson", NDJSON),
        ("visits.jsonl.gz", gzip.compress(NDJSON)),
        ("visits.json", json.dumps(ROWS, indent=1).encode()),
    ],
)
def test_json_is_taken_and_its_columns_are_paths(http: httpx.Client, name: str, content: bytes) -> None:
    draft = upload(http, name, content)
    page = http.get(f"{draft}/columns")
    assert columns_of(page) == ["visit.age", "visit.ward", "weight"]
    assert "40 records were looked at." in page.text
    assert 'value="Visits"' in http.get(f"{draft}/description").text


def test_parquet_is_taken(http: httpx.Client, tmp_path: Path) -> None:
    table = "SELECT 30 + range % 50 AS age, ['A', 'B'][1 + range % 2] AS ward FROM range(120000)"
    duckdb.execute(f"COPY ({table}) TO '{tmp_path / 'visits.parquet'}' (FORMAT parquet)")
    draft = upload(http, "visits.parquet", (tmp_path / "visits.parquet").read_bytes())
    page = http.get(f"{draft}/columns")
    assert columns_of(page) == ["age", "ward"]
    assert "20000 records were looked at. They are the beginning" in text_of(page)
