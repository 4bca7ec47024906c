"""Renewal at the real gateway: what it asks of whoever renews, and what it says when it will not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from datalab.errors import IdentityError, RefusedError
from federation.enrolment import renewal
from federation.enrolment.client import enrol
from federation.pki.identity import Identity, Role
from federation.pki.keys import Credentials, load_key
from federation.pki.local import invite, open_registry
from federation.pki.registry import MAX_CERTIFICATES
from federation.wire.channel import mutual_tls_channel
from tests.support.federation import Federation

Renew = Callable[[Credentials], Credentials]


@pytest.fixture
def renew(federation: Federation) -> Renew:
    """Renews credentials at the gateway."""
    gateway = federation.lab.address("gateway")
    address = f"{gateway['host']}:{gateway['port']}"
    return lambda own: asyncio.run(renewal.renew(own, lambda present: mutual_tls_channel(address, present)))


def member(federation: Federation, folder: Path, name: str) -> Credentials:
    """Enrol a node of which there is nothing but its credentials."""
    enrol(invite(federation.lab, Role.NODE, name, organisation="A", country="NL"), folder)
    return Credentials.load(folder)


def test_a_renewal_brings_a_new_key_for_the_same_member(federation: Federation, tmp_path: Path, renew: Renew) -> None:
    first = member(federation, tmp_path, "essen")
    second = renew(first)
    second.check(Identity("datalab.local", Role.NODE, "essen"))
    assert second.holder.key_sha256 != first.holder.key_sha256
    serials = [
        one.serial
        for each in open_registry(federation.lab).members()
        if each.name == "essen"
        for one in each.certificates
    ]
    assert serials == [first.holder.serial, second.holder.serial]


def test_the_same_key_again_is_refused(
    federation: Federation, tmp_path: Path, renew: Renew, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = member(federation, tmp_path, "faro")
    monkeypatch.setattr(renewal, "new_key", lambda: load_key(first.key_pem))
    with pytest.raises(IdentityError, match="had a certificate for this key before") as refused:
        renew(first)
    call = refused.value.__cause__
    assert isinstance(call, grpc.aio.AioRpcError)
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_whoever_renews_in_circles_has_to_wait_and_is_told_so(
    federation: Federation, tmp_path: Path, renew: Renew
) -> None:
    own = member(federation, tmp_path, "genoa")
    for _ in range(MAX_CERTIFICATES - 1):
        own = renew(own)
    with pytest.raises(RefusedError, match=r"does not renew the certificate now: .* has got 8 certificates") as refused:
        renew(own)
    call = refused.value.__cause__
    assert isinstance(call, grpc.aio.AioRpcError)
    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(RefusedError, match="has got 8 certificates"):
        member(federation, tmp_path / "again", "genoa")
    open_registry(federation.lab).revoke(Role.NODE, "genoa")
    with pytest.raises(IdentityError, match="was revoked"):
        renew(own)


def test_a_malformed_request_is_refused(
    federation: Federation, tmp_path: Path, renew: Renew, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = member(federation, tmp_path, "haarlem")
    monkeypatch.setattr(renewal, "certificate_request", lambda _: b"no request")
    with pytest.raises(IdentityError, match="not a certificate signing request"):
        renew(own)
