"""What leaves the lab: anonymous data, by every way that others' tools know; and personal data by none."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click.testing
import duckdb
import httpx
import mlcroissant  # type: ignore[import-untyped]
import pytest
from fastapi.routing import APIRoute

import datalab
from catalog.client import LabClient, lab_client
from catalog.errors import DataMismatchError, NotPermittedError
from catalog.fetch import fetch
from catalog.fetch_commands import download
from catalog.permissions import Action, may
from catalog.records import PublishRequest, Role, StoredFile
from catalog.web.guard import API, DRS
from datalab.home import Home
from datalab.storage.store import ObjectStore
from tests.support.pages import give_second_factor, own_token, settle, signed_in, visit
from tests.unit.catalog.examples import anonymous, described, draft, report
from tests.unit.catalog.test_routes import address_of, every_route
from tests.unit.web.test_routes import every_page

PERSONS = (Role.OPERATOR, Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR)
PLANTED = "Rosalind Elsewhere 1958"
"""A value that is in the rows of the personal dataset and nowhere else."""
ROWS = 50_000


@pytest.fixture(scope="module")
def published(catalog_home: Home, object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A lab with the same rows twice: as anonymous data that is public, and as personal data."""
    folder = tmp_path_factory.mktemp("rows")
    with lab_client(catalog_home, "operator") as operator, lab_client(catalog_home, "pipeline") as pipeline:
        for dataset, name in (
            (anonymous(id="open", **described()), "nobody"),
            (draft(id="closed", **described()), PLANTED),
        ):
            operator.register_dataset(dataset)
            path = folder / f"{dataset.id}.parquet"
            rows = f"SELECT 50.0 + range AS age, hash(range)::VARCHAR || '{name}' AS event FROM range({ROWS})"
            duckdb.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet, COMPRESSION uncompressed)")
            stored = object_store.put_file(f"staging/{dataset.id}/first/data.parquet", path)
            assert stored.sha256 is not None
            columns = [{"name": "age", "type": "double"}, {"name": "event", "type": "string"}]
            about = {"unit": None, "description": ""}
            stated = report(
                columns=[{**one, **about} for one in columns],
                rows=ROWS,
                rows_in=ROWS + 2,
                parquet_sha256=stored.sha256,
                parquet_bytes=stored.bytes,
            )
            file = StoredFile(key=stored.key, sha256=stored.sha256, bytes=stored.bytes)
            request = PublishRequest(intent=dataset.id, files=(file,), report=stated, pipeline_run="run-1")
            pipeline.publish(dataset.id, request)
    return catalog_home


@pytest.fixture(scope="module")
def token(published: Home) -> str:
    """An API token of a researcher's that only reads."""
    with signed_in(published, settle(published, "reader", Role.RESEARCHER)) as http:
        return own_token(http, "read")


@pytest.fixture
def lab(published: Home, token: str) -> Iterator[LabClient]:
    with LabClient(published.address("lab")["url"], token) as client:
        yield client


@pytest.fixture
def url(published: Home) -> str:
    return str(published.address("lab")["url"])


@pytest.mark.filterwarnings("ignore")  # of the libraries that mlcroissant uses
def test_mlcroissant_reads_the_rows_over_http(
    url: str, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mlcroissant._src.core.constants, "DOWNLOAD_PATH", tmp_path)
    monkeypatch.setenv("CROISSANT_BASIC_AUTH_USERNAME", "reader")
    monkeypatch.setenv("CROISSANT_BASIC_AUTH_PASSWORD", token)
    described = mlcroissant.Dataset(f"{url}{API}/datasets/open/exports/croissant")
    first, second = itertools.islice(described.records("rows"), 2)
    assert (first["rows/age"], second["rows/age"]) == (50.0, 51.0)


def test_a_file_without_an_account_is_refused_and_its_description_is_not(url: str, token: str) -> None:
    file = f"{url}{API}/datasets/open/versions/1/download"
    assert httpx.get(f"{url}{API}/datasets/open/exports/croissant").status_code == 200
    assert httpx.get(f"{url}{API}/catalog/dcat-ap.ttl").status_code == 200
    for wrong in (None, ("reader", "wrong"), (token, "")):
        refused = httpx.get(file, auth=wrong)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="Datalab"')
    assert httpx.get(file, auth=("anything", token)).status_code == 307
    assert httpx.get(f"{url}{API}/datasets/open", auth=("reader", token)).status_code == 401  # of files alone


@pytest.mark.filterwarnings("ignore")
def test_neither_croissant_nor_python_nor_the_command_gives_a_personal_row(
    published: Home, url: str, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By what leads to the rows of the anonymous dataset, with the address of the personal one's file put in, too."""
    monkeypatch.setattr(mlcroissant._src.core.constants, "DOWNLOAD_PATH", tmp_path / "croissant")
    monkeypatch.setenv("CROISSANT_BASIC_AUTH_USERNAME", "reader")
    monkeypatch.setenv("CROISSANT_BASIC_AUTH_PASSWORD", token)
    text = httpx.get(f"{url}{API}/datasets/open/exports/croissant").text
    forged = tmp_path / "forged.json"
    forged.write_text(text.replace("/datasets/open/", "/datasets/closed/"))
    for description in (f"{url}{API}/datasets/closed/exports/croissant", forged):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever mlcroissant makes of a refusal
            next(iter(mlcroissant.Dataset(description).records("rows")))
    with datalab.connect(url, token, cache=tmp_path / "python") as lab:
        for read in (lab.dataset("closed").to_arrow, lab.dataset("closed", version=1).to_duckdb):
            with pytest.raises(NotPermittedError, match="never leaves"):
                read()
    arguments = ["closed", "--home", str(published.path), "--to", str(tmp_path / "command")]
    assert isinstance(click.testing.CliRunner().invoke(download, arguments).exception, NotPermittedError)
    came = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert came, "what was asked with"
    assert not [path for path in came if PLANTED.encode() in path.read_bytes() or path.suffix == ".parquet"]


def test_a_download_goes_on_where_it_broke_off(lab: LabClient, tmp_path: Path) -> None:
    (path,) = fetch(lab, "open", tmp_path)
    whole = path.read_bytes()
    assert hashlib.sha256(whole).hexdigest() == lab.version("open", 1).files[0].sha256
    path.unlink()
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(whole[:100_000])
    told: list[int] = []
    assert fetch(lab, "open", tmp_path, tell=lambda *now: told.append(now[1])) == [path]
    assert path.read_bytes() == whole
    assert min(told) > 100_000
    assert not part.exists()
    told.clear()
    fetch(lab, "open", tmp_path, tell=lambda *now: told.append(now[1]))
    assert not told  # nothing is fetched twice


def test_what_came_wrong_is_thrown_away(lab: LabClient, tmp_path: Path) -> None:
    part = tmp_path / "open-v1-0.parquet.part"
    part.write_bytes(b"something else")
    with pytest.raises(DataMismatchError, match="SHA-256"):
        fetch(lab, "open", tmp_path)
    assert not part.exists()


def test_the_command_downloads_and_says_so(published: Home, tmp_path: Path) -> None:
    done = click.testing.CliRunner().invoke(download, ["open", "--home", str(published.path), "--to", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "open-v1-0.parquet: whole" in done.output
    assert duckdb.read_parquet(str(tmp_path / "open-v1-0.parquet")).count("*").fetchall() == [(ROWS,)]


def test_python_reads_it_into_duckdb_and_arrow(url: str, token: str, tmp_path: Path) -> None:
    with datalab.connect(url, token, cache=tmp_path) as lab:
        rows = lab.dataset("open").to_duckdb()
        assert rows.aggregate("count(*), min(age)").fetchall() == [(ROWS, 50.0)]
        assert lab.dataset("open", version=1).to_arrow().num_rows == ROWS
        with pytest.raises(NotPermittedError, match="never leaves"):
            lab.dataset("closed").to_duckdb()
    assert [one.name for one in tmp_path.iterdir()] == ["open-v1-0.parquet"]


def test_drs_clients_find_the_file(url: str, token: str) -> None:
    info = httpx.get(f"{url}{DRS}/service-info").json()
    assert info["type"] == {"group": "org.ga4gh", "artifact": "drs", "version": "1.5.0"}
    with httpx.Client(base_url=f"{url}{DRS}", headers={"Authorization": f"Bearer {token}"}) as http:
        found = http.get("/objects/open.v1.0").json()
        (way,) = found["access_methods"]
        address = http.get(f"/objects/{found['id']}/access/{way['access_id']}").json()["url"]
        content = httpx.get(address).content
        assert (len(content), hashlib.sha256(content).hexdigest()) == (found["size"], found["checksums"][0]["checksum"])
        for other, status in (("open.v1.7", 404), ("open.v2.0", 404), ("nothing", 404), ("closed.v1.0", 403)):
            refused = http.get(f"/objects/{other}")
            assert (refused.status_code, refused.json()["status_code"]) == (status, status)
            assert http.get(f"/objects/{other}/access/https").status_code == status
    assert httpx.get(f"{url}{DRS}/objects/open.v1.0").status_code == 401


@pytest.mark.parametrize("role", [*Role, None])
def test_no_route_gives_a_personal_row_to_anybody(role: Role | None, published: Home, url: str) -> None:
    """Every address that is read, with every form and file of the personal dataset; a redirect is followed."""
    headers = {"Authorization": f"Bearer {published.secret(f'token-{role}')}"} if role else {}
    asked = 0
    with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as http:
        for route in every_route():
            for address in _addresses(route, address_of(route)):
                answer = http.get(address, headers=headers)
                assert PLANTED.encode() not in answer.content, address
                asked += 1
        assert PLANTED.encode() not in http.post(f"{API}/backups", headers=headers).content
    assert asked > 60


@pytest.mark.parametrize("role", [*PERSONS, None])
def test_no_page_gives_a_personal_row_to_anybody(role: Role | None, published: Home) -> None:
    """Every page that is read, of the personal dataset and its files, with a second factor; a redirect is followed."""
    with ExitStack() as stack:
        http = stack.enter_context(
            visit(published) if role is None else signed_in(published, settle(published, f"looks-{role}", role))
        )
        if role is not None:
            give_second_factor(http)
        http.follow_redirects, http.timeout = True, httpx.Timeout(60)
        asked = 0
        for route in every_page():
            for address in _addresses(route, route.path):
                answer = http.get(address)
                assert answer.status_code < 500, address
                assert PLANTED.encode() not in answer.content, address
                asked += 1
        assert asked > 140
        rows = http.get("/datasets/open/versions/1/files/0").content
        assert (b"nobody" in rows) == (role is not None and may(role, Action.VERSION_DOWNLOAD))  # it is followed


def test_the_planted_value_would_be_seen(published: Home, object_store: ObjectStore, tmp_path: Path) -> None:
    with lab_client(published, "pipeline") as client:
        (file,) = client.files("closed", 1)
    kept = tmp_path / "kept"
    object_store.get_file(file.key, kept)
    assert PLANTED.encode() in kept.read_bytes()


def _addresses(route: APIRoute, path: str) -> list[str]:
    if "GET" not in (route.methods or ()):
        return []
    forms = (
        "dcat-ap",
        "dcat-ap.ttl",
        "healthdcat-ap",
        "croissant",
        "odrl",
        "frictionless",
        "schema.csv",
        "art30",
        "art35.json",
    )
    names = {
        "dataset": "closed",
        "number": "1",
        "object_id": "closed.v1.0",
        "access_id": "https",
        "upload": "closed",
        "file": "0",
    }
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    paths = [path.replace("{form}", form) for form in forms] if "{form}" in path else [path]
    return [one + end for one in paths for end in ("", "?file=0&before=1&after=1&q=closed&version=1")]
