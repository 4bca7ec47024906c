"""The new member's side of enrolment: make a key here, have it certified, keep what comes back."""

from __future__ import annotations

from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import cast

import grpc

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
from federation.pki.identity import Identity
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.token import EnrolmentToken, check_address
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR

GATEWAY_FILE = "gateway"
"""Beside the credentials: where the gateway listens, "host:port"."""
TIMEOUT = 20.0


def enrol(token_text: str, folder: Path) -> Identity:
    """Enrol with a token; write credentials and the gateway's address into ``folder``.

    The key is made here and stays here. Nothing is written unless the certificate is for this key and this member,
    and from the authority in the token.

    Args:
        token_text: from ``datalab node invite``; it works once.
        folder: gets the files of ``Credentials`` and ``GATEWAY_FILE``.

    Raises:
        IdentityError: not a token; used, expired or unknown; or whoever answers is not of this federation.
        ServiceFailedError: nobody answers.
        DatalabError: the gateway refuses for another reason, which the error states.
    """
    token = EnrolmentToken.decode(token_text)
    identity = token.identity
    pinned = DER_cert_to_PEM_cert(token.ca).encode()
    key = new_key()
    answer = _call(token, pinned, certificate_request(key))
    try:
        gateway = check_address(answer.gateway_address)
    except ValueError as error:
        raise _wrong_answer("does not say where it listens", token.address) from error
    if pinned.strip() not in answer.trust_bundle_pem:
        raise _wrong_answer("does not hand out the authority that the token names", token.address)
    Credentials(key_pem(key), answer.certificate_chain_pem, pinned).check(identity)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / GATEWAY_FILE, gateway.encode("ascii"))
    Credentials(key_pem(key), answer.certificate_chain_pem, answer.trust_bundle_pem).store(folder)
    return identity


def gateway_address(folder: Path) -> str:
    """Return where the gateway listens, "host:port", as ``enrol`` learned it; NotFoundError before that."""
    try:
        return (folder / GATEWAY_FILE).read_text(encoding="ascii")
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no identity in {folder}.", next_step="Enrol with a token from the federation's operator."
        ) from None


def _call(token: EnrolmentToken, pinned: bytes, request_pem: bytes) -> pb.EnrolResponse:
    request = pb.EnrolRequest(
        protocol_major=PROTOCOL_MAJOR,
        protocol_minor=PROTOCOL_MINOR,
        secret=token.secret,
        certificate_request_pem=request_pem,
    )
    service = pb.DESCRIPTOR.services_by_name["EnrolmentService"].full_name
    with grpc.secure_channel(token.address, grpc.ssl_channel_credentials(pinned)) as channel:
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
