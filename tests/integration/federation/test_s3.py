"""A node whose raw file is in an object store: the embedded server, over real HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.canonical import sha256_hex
from datalab.errors import BadInputError, DatalabError, NotFoundError
from datalab.home import Home
from datalab.storage.access import credentials
from datalab.storage.certificate import make_certificate
from datalab.storage.store import ObjectNotFoundError, ObjectStore, StorageError
from datalab.supervisor import Supervisor
from federation.node.config import S3Source, SiteDataset
from federation.node.s3 import fetch
from tests.support.federation import DATASET, Federation
from tests.support.proxy import Proxy

RAW = ("x,event\n" + "\n".join(f"{number / 10},{number % 2}" for number in range(100)) + "\n").encode()
KEY = "data/export/toy.csv"


@pytest.fixture(scope="module")
def stored(object_store: ObjectStore) -> str:
    """Put a raw file into the store; return its URI."""
    return object_store.put_bytes(KEY, RAW).uri


def entry(object_store: ObjectStore, uri: str, **changes: str) -> SiteDataset:
    at = {"endpoint": f"http://{object_store.endpoint}", "credentials": "s3-login", **changes}
    return SiteDataset(id=DATASET, source=uri, contract="toy.odcs.yaml", s3=S3Source(**at))


def log_in(home: Home, lab_home: Home, user: str = "compute", mode: int = 0o600) -> None:
    path = home.path / "s3-login"
    path.touch(mode=0o600)
    path.write_text(":".join(credentials(lab_home, user)) + "\n", encoding="ascii")
    path.chmod(mode)


@pytest.fixture
def home(tmp_path: Path, lab_home: Home) -> Home:
    """A node's home with credentials that may read."""
    home = Home(tmp_path)
    log_in(home, lab_home)
    return home


def test_a_file_is_kept_under_its_digest(home: Home, object_store: ObjectStore, stored: str) -> None:
    path = fetch(home, entry(object_store, stored))
    assert path == home.path / "sources" / sha256_hex(RAW) / "toy.csv"
    assert path.read_bytes() == RAW
    assert path.stat().st_mode & 0o077 == 0
    assert fetch(home, entry(object_store, stored)) == path
    assert [one.name for one in (home.path / "sources").iterdir()] == [sha256_hex(RAW)]


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"credentials": "nowhere"}, NotFoundError, "s3.credentials of toy"),
        ({"ca": "nowhere.pem"}, NotFoundError, "s3.ca of toy"),
        ({"endpoint": "http://127.0.0.1:1"}, StorageError, "does not answer"),
    ],
)
def test_what_is_wrong_is_said(
    home: Home, object_store: ObjectStore, stored: str, changes: dict[str, str], kind: type[DatalabError], said: str
) -> None:
    with pytest.raises(kind) as error:
        fetch(home, entry(object_store, stored, **changes))
    assert said in str(error.value)


def test_a_store_that_nobody_vouches_for_is_not_spoken_to(home: Home, object_store: ObjectStore, stored: str) -> None:
    with pytest.raises(StorageError, match="does not answer as it should"):
        fetch(home, entry(object_store, stored, endpoint=f"https://{object_store.endpoint}"))


def test_a_store_is_known_by_the_holders_own_certificates(home: Home, object_store: ObjectStore, stored: str) -> None:
    certificate, key = make_certificate("127.0.0.1")
    (home.path / "ca.pem").write_bytes(certificate)
    (home.path / "server.pem").write_bytes(key + certificate)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(home.path / "server.pem")
    host, _, port = object_store.endpoint.partition(":")
    with Proxy(host, int(port), tls=server) as proxy:
        at = f"https://127.0.0.1:{proxy.port}"
        assert fetch(home, entry(object_store, stored, endpoint=at, ca="ca.pem")).read_bytes() == RAW
        with pytest.raises(StorageError, match="does not answer as it should"):
            fetch(home, entry(object_store, stored, endpoint=at))


def test_credentials_are_the_owners_alone_and_never_shown(
    home: Home, lab_home: Home, object_store: ObjectStore, stored: str
) -> None:
    log_in(home, lab_home, mode=0o640)
    with pytest.raises(BadInputError, match="chmod 600"):
        fetch(home, entry(object_store, stored))
    log_in(home, lab_home, user="runner")  # who may not read data
    with pytest.raises(StorageError) as refused:
        fetch(home, entry(object_store, stored))
    assert not any(secret in str(refused.value) for secret in credentials(lab_home, "runner"))
    log_in(home, lab_home)
    with pytest.raises(ObjectNotFoundError):
        fetch(home, entry(object_store, f"{stored}.gone"))
    assert [one.name for one in (home.path / "sources").iterdir()] == []


@pytest.fixture
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A gateway."""
    with Supervisor() as supervisor:
        yield Federation(tmp_path_factory.mktemp("s3"), supervisor)


def test_a_node_trains_on_what_it_has_fetched_and_needs_the_store_once(
    federation: Federation, lab_home: Home, object_store: ObjectStore, stored: str
) -> None:
    home = federation.node_home("lugano")
    home.folder()
    log_in(home, lab_home)
    login = f's3 = {{ endpoint = "http://{object_store.endpoint}", credentials = "s3-login" }}'
    federation.add_node("lugano", source=stored, dataset=login)
    federation.wait_for("lugano")
    assert federation.run(["lugano"], config={"num-server-rounds": 1}).read_card()["outcome"] == "completed"
    logs = b"".join(path.read_bytes() for path in (home.path / "log").iterdir())
    assert not any(secret.encode() in logs for secret in credentials(lab_home, "compute"))

    object_store.put_bytes(KEY, RAW.replace(b"0.1,1", b"0.1,0"))
    (home.path / "s3-login").unlink()
    agent = federation.processes["lugano"]
    agent.terminate()
    agent.wait()
    federation.supervisor.forget(agent)
    federation.start_node("lugano")
    federation.wait_for("lugano")
    assert federation.run(["lugano"], config={"num-server-rounds": 1}).read_card()["outcome"] == "completed"
    object_store.put_bytes(KEY, RAW)
