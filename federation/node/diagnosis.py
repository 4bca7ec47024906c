"""Why the gateway cannot be reached, in words that a hospital's network team can act on.

gRPC says "unavailable" to most of it; here the way is walked again, step by step, with the standard library.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from datalab.errors import IdentityError
from federation.pki.identity import holder_of
from federation.pki.keys import Credentials
from federation.wire.channel import Proxy

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

TIMEOUT = 5.0
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


class Cause(StrEnum):
    """What stands between a node and its gateway."""

    NONE = "none"
    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    PROXY = "proxy"
    PROXY_CREDENTIALS = "proxy credentials"
    NO_TLS = "no tls"
    INSPECTED = "inspected"
    IMPOSTOR = "impostor"
    CLOCK = "clock"
    EXPIRED = "expired"
    CERTIFICATE = "certificate"
    TLS = "tls"


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        cause: of what kind it is.
        what: one sentence.
        remedy: what to do, one sentence.
    """

    cause: Cause
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


class _FoundError(Exception):
    def __init__(self, cause: Cause, what: str, remedy: str) -> None:
        super().__init__(what)
        self.found = Diagnosis(cause, what, remedy)


def diagnose(address: str, credentials: Credentials, proxy: Proxy | None) -> Diagnosis:
    """Walk the way to the gateway, "host:port", and say where it ends."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with _connected(host, int(port), proxy) as raw:
            found = _try_tls(raw, host, address, credentials)
        if found.cause in (Cause.INSPECTED, Cause.IMPOSTOR, Cause.CLOCK):
            with _connected(host, int(port), proxy) as raw:
                return replace(found, what=f"{found.what} {_about(found.cause, _shown(raw, host))}".strip())
        return found
    except _FoundError as error:
        return error.found
    except TimeoutError:
        return Diagnosis(Cause.TIMEOUT, f"{address} does not answer.", "Ask whether a firewall drops the connection.")
    except OSError as error:
        return Diagnosis(Cause.TLS, f"The connection to {address} was cut: {error.strerror or error}.")


def _connected(host: str, port: int, proxy: Proxy | None) -> socket.socket:
    if proxy is None:
        return _connect(host, port, "the gateway")
    raw = _connect(proxy.host, proxy.port, "the proxy")
    lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
    if proxy.credentials:
        secret = base64.b64encode(proxy.credentials.encode()).decode("ascii")
        lines.append(f"Proxy-Authorization: Basic {secret}")
    raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < 65536 and (piece := raw.recv(4096)):
        answer += piece
    found = _STATUS.match(answer)
    code = int(found[1]) if found else 0
    if code == 200:
        return raw
    raw.close()
    raise _proxy_refusal(proxy, code, f"{host}:{port}")


def _connect(host: str, port: int, whom: str) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=TIMEOUT)
    except socket.gaierror:
        raise _FoundError(
            Cause.DNS, f"The name {host} of {whom} is not known here.", "Ask whether this machine's DNS knows it."
        ) from None
    except ConnectionRefusedError:
        raise _FoundError(
            Cause.REFUSED,
            f"Nobody listens at {host}:{port} ({whom}).",
            "Ask whether it is running, and whether the address is right.",
        ) from None


def _proxy_refusal(proxy: Proxy, code: int, address: str) -> _FoundError:
    where = f"{proxy.host}:{proxy.port}"
    if code in (401, 407):
        what = "refuses the user name or password" if proxy.credentials else "asks for a user name and password"
        return _FoundError(
            Cause.PROXY_CREDENTIALS,
            f"The proxy {where} {what}.",
            "Write user:password into the file that node.toml names as gateway.proxy_credentials.",
        )
    if code == 0:
        return _FoundError(
            Cause.PROXY, f"{where} does not answer as an HTTP proxy.", "Check gateway.proxy in node.toml."
        )
    return _FoundError(
        Cause.PROXY,
        f"The proxy {where} does not let this machine through to {address} (HTTP {code}).",
        "Ask the network team to allow CONNECT to this address and port.",
    )


def _try_tls(raw: socket.socket, host: str, address: str, credentials: Credentials) -> Diagnosis:
    context = ssl.create_default_context(cadata=credentials.trust_pem.decode("ascii"))
    context.set_alpn_protocols(["h2"])  # gRPC hangs up on whoever does not speak HTTP/2
    with TemporaryDirectory() as folder:  # the standard library reads a client's key from a file only
        pair = Path(folder) / "identity.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(credentials.key_pem + credentials.chain_pem)
        context.load_cert_chain(pair)
    try:
        with context.wrap_socket(raw, server_hostname=host) as tls:
            tls.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                # TLS 1.3: a client's certificate is refused after the handshake, and by gRPC without a word.
                if not tls.recv(1):
                    return _not_accepted(address, credentials)
            return Diagnosis(Cause.NONE, f"The way to {address} is open.")
    except ssl.SSLCertVerificationError as error:
        return _untrusted(error, host, address)
    except ssl.SSLError as error:
        return _tls_problem(error, address, credentials)


def _untrusted(error: ssl.SSLCertVerificationError, host: str, address: str) -> Diagnosis:
    code, message = error.verify_code, error.verify_message
    if code == 9:
        return Diagnosis(
            Cause.CLOCK,
            "The gateway's certificate is not valid yet by this machine's clock.",
            "Set this machine's clock (NTP).",
        )
    if code == 10:
        return Diagnosis(
            Cause.CLOCK,
            "The gateway's certificate has expired by this machine's clock.",
            "Check this machine's clock; if it is right, tell the federation's operator.",
        )
    if code == 62:
        return Diagnosis(
            Cause.TLS, f"The gateway's certificate is not for the name {host}.", "Tell the federation's operator."
        )
    if code == 26:
        return Diagnosis(
            Cause.IMPOSTOR,
            f"Whoever answers at {address} is no gateway, and has a certificate of this federation for another use.",
            "Tell the federation's operator: a member poses as the gateway, or the address is wrong.",
        )
    return Diagnosis(
        Cause.INSPECTED,
        f"Whoever answers at {address} shows a certificate that is not of this federation ({message}).",
        "Something on the way inspects TLS. Ask the network team to exempt this address from inspection.",
    )


def _about(cause: Cause, shown: Certificate | None) -> str:
    """Return what there is to say of the certificate that is shown, for people; it is not trusted in any way."""
    if shown is None:
        return ""
    if cause is Cause.INSPECTED:
        return f"It was issued by {shown.issuer.rfc4514_string()[:200]}."
    if cause is Cause.CLOCK:
        begins, ends = (f"{at:%Y-%m-%d %H:%M}" for at in (shown.not_valid_before_utc, shown.not_valid_after_utc))
        return f"It is valid from {begins} to {ends} UTC, and the clock says {datetime.now(UTC):%Y-%m-%d %H:%M}."
    try:
        return f"It is that of {holder_of(shown).identity}."
    except IdentityError:
        return ""


def _shown(raw: socket.socket, host: str) -> Certificate | None:
    """Return the certificate that is shown."""
    from cryptography import x509

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(raw, server_hostname=host) as tls:
        shown = tls.getpeercert(binary_form=True)
    return None if shown is None else x509.load_der_x509_certificate(shown)


def _tls_problem(error: ssl.SSLError, address: str, credentials: Credentials) -> Diagnosis:
    reason = error.reason or ""
    if "WRONG_VERSION" in reason or "HTTP_REQUEST" in reason:
        return Diagnosis(Cause.NO_TLS, f"Whoever answers at {address} does not speak TLS.", "Check the address.")
    if "CERTIFICATE" in reason or "ALERT_UNKNOWN_CA" in reason:
        return _not_accepted(address, credentials)
    return Diagnosis(Cause.TLS, f"TLS with {address} failed ({reason or 'no reason given'}).", "Tell the operator.")


def _not_accepted(address: str, credentials: Credentials) -> Diagnosis:
    """Return why the gateway may have hung up on this node's certificate, which it does without giving a reason."""
    holder, now = credentials.holder, datetime.now(UTC)
    if holder.expires <= now:
        return Diagnosis(
            Cause.EXPIRED, "This node's certificate has expired.", "Enrol again with a new token: datalab node enrol"
        )
    return Diagnosis(
        Cause.CERTIFICATE,
        f"The gateway at {address} does not accept this node's certificate, which is valid from "
        f"{holder.not_before:%Y-%m-%d %H:%M} to {holder.expires:%Y-%m-%d %H:%M} UTC. "
        f"This machine's clock says {now:%Y-%m-%d %H:%M}.",
        "Set the clock (NTP) if it is wrong; if it is right, ask the federation's operator for a new token.",
    )
