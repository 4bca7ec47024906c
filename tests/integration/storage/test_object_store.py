"""The client against the real embedded server: objects in and out, rights by user, and what is closed."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from datalab.canonical import sha256_hex
from datalab.home import Home
from datalab.service import free_ports
from datalab.storage.access import credentials
from datalab.storage.store import (
    PART_BYTES,
    ObjectNotFoundError,
    ObjectStore,
    StorageError,
    connect,
)


def test_a_file_comes_back_as_it_went_in(object_store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"age;meno\n51;1\n")
    stored = object_store.put_file("data/round/trip.csv", tmp_path / "in")
    assert stored.uri == "s3://datalab/data/round/trip.csv"
    assert object_store.stat(stored.key) == stored
    assert object_store.get_file(stored.key, tmp_path / "out", sha256=stored.sha256) == stored
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_a_stream_of_several_parts_is_digested_on_the_way(object_store: ObjectStore) -> None:
    chunks = [bytes([n]) * (PART_BYTES // 2 + n) for n in range(5)]
    stored = object_store.put_stream("staging/stream", iter(chunks))
    assert (stored.bytes, stored.sha256) == (sum(map(len, chunks)), sha256_hex(b"".join(chunks)))
    with object_store.open("staging/stream") as source:
        assert source.read(10) == chunks[0][:10]
        assert sha256_hex(chunks[0][:10] + source.read()) == stored.sha256


def test_a_stream_that_breaks_off_leaves_nothing(object_store: ObjectStore) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(PART_BYTES + 1)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        object_store.put_stream("staging/broken", broken())
    with pytest.raises(ObjectNotFoundError):
        object_store.stat("staging/broken")


_KILLED = """
import os, signal, sys
from pathlib import Path
from datalab.home import Home
from datalab.storage.store import PART_BYTES, connect

def chunks():
    yield bytes(PART_BYTES + 1)
    os.kill(os.getpid(), signal.SIGKILL)

connect(Home(Path(sys.argv[1]))).put_stream(sys.argv[2], chunks())
"""


def test_what_a_killed_client_had_uploaded_goes_and_no_object_with_it(
    lab_home: Home, object_store: ObjectStore
) -> None:
    there = object_store.put_stream("staging/there", [bytes(PART_BYTES), b"the end"])
    for key in ("staging/there", "staging/not-there"):
        killed = subprocess.run([sys.executable, "-c", _KILLED, str(lab_home.path), key], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert object_store.abort_uploads(datetime.now(UTC) - timedelta(hours=1)) == []
    assert object_store.abort_uploads(datetime.now(UTC) + timedelta(minutes=1)) == ["staging/not-there"]
    assert object_store.abort_uploads(datetime.now(UTC) + timedelta(minutes=1)) == []
    with object_store.open("staging/there") as source:
        assert sha256_hex(source.read()) == there.sha256


def test_a_download_with_another_digest_is_refused_and_leaves_no_file(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    object_store.put_bytes("data/changed", b"not what was signed")
    with pytest.raises(StorageError, match=r"SHA-256 differs.*s3://datalab/data/changed"):
        object_store.get_file("data/changed", tmp_path / "out", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_copy_list_and_delete(object_store: ObjectStore) -> None:
    stored = object_store.put_bytes("staging/list/a", b"1")
    object_store.copy("staging/list/a", "staging/list/b/c")
    assert [found.key for found in object_store.list("staging/list/")] == [
        "staging/list/a",
        "staging/list/b/c",
    ]
    assert object_store.stat("staging/list/b/c").sha256 == stored.sha256
    object_store.delete("staging/list/a")
    object_store.delete("staging/list/a")
    assert [found.key for found in object_store.list("staging/list/")] == ["staging/list/b/c"]


def test_a_missing_object_is_named(object_store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError, match="s3://datalab/data/missing"):
        object_store.open("data/missing")


def test_a_presigned_address_opens_one_object_only(object_store: ObjectStore) -> None:
    object_store.put_bytes("data/open", b"terms accepted")
    address = object_store.presign_get("data/open", timedelta(minutes=1), name="open.txt")
    with urllib.request.urlopen(address) as response:
        assert response.read() == b"terms accepted"
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(address.split("?")[0]):
        pass
    refused.value.close()
    assert refused.value.code == 403


PREFIXES = ("landing", "staging", "data", "runs", "journals")


def deeds(store: ObjectStore) -> dict[str, Callable[[], object]]:
    """Everything that one could do with one object under each prefix."""
    at = {prefix: store.landing if prefix == "landing" else store for prefix in PREFIXES}
    reads = {f"read {prefix}": lambda prefix=prefix: at[prefix].open(f"{prefix}/one").close() for prefix in PREFIXES}
    writes = {f"write {one}": lambda prefix=one: at[prefix].put_bytes(f"{prefix}/one", b"1") for one in PREFIXES}
    return {"list": lambda: list(store.list("")), **reads, **writes}


@pytest.mark.parametrize(
    ("user", "allowed"),
    [
        ("pipeline", {"read landing", "read staging", "write staging"}),
        ("compute", {"read data"}),
        ("runner", {"write runs", "write journals"}),
        ("scheduler", {"read journals"}),
    ],
)
def test_each_user_may_do_what_it_needs_and_nothing_else(
    lab_home: Home, object_store: ObjectStore, user: str, allowed: set[str]
) -> None:
    for deed in reversed(deeds(object_store).values()):  # the lab may do everything; it writes before it reads
        deed()
    for name, deed in deeds(connect(lab_home, user)).items():
        if name in allowed:
            deed()
        else:
            with pytest.raises(StorageError, match="AccessDenied"):
                deed()


def test_wrong_credentials_are_refused(object_store: ObjectStore) -> None:
    stranger = ObjectStore(object_store.endpoint, object_store.access_key, "guess", object_store.bucket)
    with pytest.raises(StorageError, match="SignatureDoesNotMatch"):
        stranger.open("data/one")


def test_a_store_that_has_gone_is_a_clear_error(object_store: ObjectStore) -> None:
    gone = ObjectStore(f"127.0.0.1:{free_ports('127.0.0.1', 1)[0]}", "key", "secret", object_store.bucket)
    with pytest.raises(StorageError, match="does not answer"):
        gone.put_bytes("data/one", b"1")


def test_nothing_behind_s3_answers_without_the_servers_own_certificate(
    lab_home: Home, object_store: ObjectStore
) -> None:
    options = (lab_home.path / "objects" / "mini.options").read_text(encoding="utf-8")
    ports = dict(re.findall(r"^(master|volume|filer)\.port=(\d+)$", options, re.MULTILINE))
    assert set(ports) == {"master", "volume", "filer"}
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    for port in ports.values():
        with pytest.raises(urllib.error.HTTPError) as plain:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/col/delete?collection={object_store.bucket}")
        plain.value.close()
        assert plain.value.code == 400  # "Client sent an HTTP request to an HTTPS server."
        with pytest.raises((ssl.SSLError, urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=trusting)


def test_secrets_are_private_and_in_no_log(lab_home: Home, object_store: ObjectStore) -> None:
    log = lab_home.log_file("object-store").read_text(encoding="utf-8")
    assert object_store.endpoint.partition(":")[2] in log
    assert not any(secret in log for user in ("lab", "pipeline") for secret in credentials(lab_home, user))
    private = lab_home.path / "secrets" / "object-store"
    assert {path.name for path in private.iterdir()} >= {"s3.json", "security.toml", "key.pem"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in private.rglob("*"))
