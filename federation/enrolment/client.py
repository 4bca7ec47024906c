"""The new member's side of enrolment: make a key here, have it certified, keep what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING, cast

import grpc

from datalab.canonical import sha256_hex
from datalab.errors import (
    BadInputError,
    DatalabError,
    IdentityError,
    NotFoundError,
    RefusedError,
    ServiceFailedError,
)
from datalab.home import write_atomically
from federation.errors import FederationError, WireError
from federation.pb import enrolment_pb2 as pb
from federation.pki.identity import Identity, public_key_sha256
from federation.pki.keys import (
    Credentials,
    certificate_request,
    key_pem,
    load_key,
    new_key,
)
from federation.pki.token import EnrolmentToken, check_address
from federation.wire.channel import Proxy, proxy_options
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

GATEWAY_FILE = "gateway"
"""Beside the credentials: where the gateway listens, "host:port"."""
TIMEOUT = 20.0
LONGEST_RETRY = 30.0
"""Seconds that a gateway can have this side wait before it asks again whether it has been approved."""


def enrol(
    token_text: str,
    folder: Path,
    *,
    waiting: Callable[[str], None] = lambda _: None,
    proxy: Proxy | None = None,
) -> Identity:
    """Enrol with a token; write credentials and the gateway's address into ``folder``.

    The key is made here and stays here. Nothing is used unless the certificate is for this key and this member, and
    from the authority in the token. Where the operator has to approve the key first, this waits until that is done or
    the token expires; the key is kept meanwhile, so that a later call goes on waiting.

    Args:
        token_text: from ``datalab node invite``; it works once.
        folder: gets the files of ``Credentials`` and ``GATEWAY_FILE``.
        waiting: called once with the SHA-256 of the key, for people to compare, where approval is waited for.
        proxy: that lets this machine out.

    Raises:
        IdentityError: not a token; used, expired or unknown; or whoever answers is not of this federation.
        ServiceFailedError: nobody answers.
        DatalabError: the gateway refuses for another reason, which the error states.
    """
    token = EnrolmentToken.decode(token_text)
    identity = token.identity
    pinned = DER_cert_to_PEM_cert(token.ca).encode()
    key = _waiting_key(folder, token) or new_key()
    told = False
    while (answer := _call(token, pinned, certificate_request(key), proxy)).retry_after:
        if not told:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(folder / _waiting_file(token), key_pem(key))
            waiting(public_key_sha256(key.public_key()))
            told = True
        time.sleep(min(answer.retry_after, LONGEST_RETRY))
    try:
        gateway = check_address(answer.gateway_address)
    except ValueError as error:
        raise _wrong_answer("does not say where it listens", token.address) from error
    if pinned.strip() not in answer.trust_bundle_pem:
        raise _wrong_answer("does not hand out the authority that the token names", token.address)
    # Against the root in the token: whoever holds a gateway's key, perhaps a revoked one, could name their own roots.
    Credentials(key_pem(key), answer.certificate_chain_pem, pinned).check(identity)
    credentials = Credentials(key_pem(key), answer.certificate_chain_pem, answer.trust_bundle_pem)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / GATEWAY_FILE, gateway.encode("ascii"))
    credentials.store(folder)
    (folder / _waiting_file(token)).unlink(missing_ok=True)
    return identity


def _waiting_file(token: EnrolmentToken) -> str:
    return f"waiting-{sha256_hex(token.secret.encode())[:16]}.key.pem"


def _waiting_key(folder: Path, token: EnrolmentToken) -> EllipticCurvePrivateKey | None:
    """Return the key that an earlier call with this token has made and left waiting."""
    try:
        return load_key((folder / _waiting_file(token)).read_bytes())
    except FileNotFoundError:
        return None


def gateway_address(folder: Path) -> str:
    """Return where the gateway listens, "host:port", as ``enrol`` learned it; NotFoundError before that."""
    try:
        return (folder / GATEWAY_FILE).read_text(encoding="ascii")
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no identity in {folder}.", next_step="Enrol with a token from the federation's operator."
        ) from None


def _call(token: EnrolmentToken, pinned: bytes, request_pem: bytes, proxy: Proxy | None) -> pb.EnrolResponse:
    request = pb.EnrolRequest(
        protocol_major=PROTOCOL_MAJOR,
        protocol_minor=PROTOCOL_MINOR,
        secret=token.secret,
        certificate_request_pem=request_pem,
    )
    service = pb.DESCRIPTOR.services_by_name["EnrolmentService"].full_name
    tls = grpc.ssl_channel_credentials(pinned)
    with grpc.secure_channel(token.address, tls, options=proxy_options(proxy)) as channel:
        method = channel.unary_unary(
            f"/{service}/Enrol",
            request_serializer=pb.EnrolRequest.SerializeToString,
            response_deserializer=pb.EnrolResponse.FromString,
        )
        try:
            answer: pb.EnrolResponse = method(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise _explained(cast("grpc.Call", error), token.address) from error
    return answer


def _wrong_answer(what: str, address: str) -> IdentityError:
    return IdentityError(f"The gateway {what}.", where=address, next_step="Tell the federation's operator.")


def _explained(error: grpc.Call, address: str) -> DatalabError:
    """Return what to tell a person about a call that failed."""
    code, details = error.code(), error.details() or ""
    refusals: dict[grpc.StatusCode, type[DatalabError]] = {
        grpc.StatusCode.PERMISSION_DENIED: IdentityError,
        grpc.StatusCode.INVALID_ARGUMENT: BadInputError,
        grpc.StatusCode.RESOURCE_EXHAUSTED: RefusedError,
        grpc.StatusCode.FAILED_PRECONDITION: WireError,
    }
    if code in refusals:
        return refusals[code](details, where=address)
    if "certificate is not yet valid" in details or "certificate has expired" in details:
        return IdentityError(
            "The gateway's certificate is not valid at this time by this machine's clock, which says "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
            where=address,
            next_step="Set this machine's clock (NTP); if it is right, tell the federation's operator.",
        )
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return IdentityError(
            "Whoever answers there is not of the federation that the token names.",
            where=address,
            next_step="Check for a proxy that inspects TLS on the way; otherwise tell the federation's operator.",
        )
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
        return ServiceFailedError(
            "Nobody answers at the federation's enrolment address.",
            where=address,
            next_step="Check that the address can be reached from here, and that the gateway is running.",
        )
    return FederationError(f"Enrolment failed: {details}", where=address)
