"""Fetching by https: the connection goes to an address that was looked at, the certificate has to be the host's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from catalog.harvest.fetch import MAX_BYTES, fetch
from catalog.harvest.reach import Reach
from datalab.errors import BadInputError, ServiceFailedError
from datalab.settings import Harvesting
from tests.unit.harvest.catalogues import served

HERE = Reach(Harvesting(loopback=True))


def certified(folder: Path, host: str) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for a host's name and no address; ``ca.pem`` has it to be trusted."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
def test_the_certificate_has_to_be_the_hosts_though_the_connection_goes_to_an_address(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certified(tmp_path, host)
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "ca.pem"))
    with served(context) as portal:
        portal.say(1)
        address = f"{portal.url}/catalogue.ttl"
        if host == "localhost":
            page = fetch(HERE, address, None, Event())
            assert page is not None
            assert (page.form, page.address, b"Dataset 1" in page.data) == ("turtle", address, True)
        else:
            with pytest.raises(ServiceFailedError, match="does not answer"):
                fetch(HERE, address, None, Event())
            assert portal.asked == []


def test_an_authority_that_nobody_trusts_vouches_for_nobody(tmp_path: Path) -> None:
    with served(certified(tmp_path, "localhost")) as portal:
        portal.say(1)
        with pytest.raises(ServiceFailedError, match="does not answer"):
            fetch(HERE, f"{portal.url}/catalogue.ttl", None, Event())


def test_an_answer_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter of a header every while keeps every single wait short; all of them together are bounded."""
    monkeypatch.setattr("catalog.harvest.fetch._SECONDS", 1.0)
    stop = Event()

    def trickle(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not stop.wait(0.2):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle, args=[listening])
        thread.start()
        began = time.monotonic()
        with pytest.raises(ServiceFailedError, match=r"does not answer|longer than"):
            fetch(HERE, f"http://127.0.0.1:{listening.getsockname()[1]}/catalogue.ttl", None, Event())
        assert time.monotonic() - began < 10
        stop.set()
        thread.join()


def test_a_page_without_end_is_cut() -> None:
    with served() as portal:
        portal.pages["/catalogue.ttl"] = ("text/turtle", "#" * (MAX_BYTES + 1))
        with pytest.raises(BadInputError, match="more than 20 MiB"):
            fetch(HERE, f"{portal.url}/catalogue.ttl", None, Event())
