"""What TLS itself makes of the certificates: who is let in, and that no member can pose as the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from federation.pki.authority import Authority, create_authority
from federation.pki.identity import Identity, Role, holder_from_pem
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from tests.support.serving import serving

FEDERATION = "datalab.test"
METHOD = "/test/WhoAmI"


def authority_in(folder: Path) -> Authority:
    return create_authority(folder / "root", folder / "issuing", federation=FEDERATION, passphrase="secret")


def member(authority: Authority, role: Role, **how: Any) -> Credentials:
    key = new_key()
    chain = authority.issue(certificate_request(key), Identity(FEDERATION, role, "one"), **how)
    return Credentials(key_pem(key), chain, authority.trust_bundle_pem)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The federation's authority."""
    return authority_in(tmp_path_factory.mktemp("authority"))


def listening(server_credentials: Credentials) -> Any:
    """A server that demands a client certificate, and answers with the peer's identity."""

    async def who(_: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        (pem,) = context.auth_context()["x509_pem_cert"]
        return str(holder_from_pem(pem).identity).encode()

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        handlers: dict[str, Any] = {"WhoAmI": grpc.unary_unary_rpc_method_handler(who)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
        pair = [(server_credentials.key_pem, server_credentials.chain_pem)]
        tls = grpc.ssl_server_credentials(pair, server_credentials.trust_pem, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", tls)
        await server.start()
        return server, port

    return serving(start)


@pytest.fixture(scope="module")
def port(authority: Authority) -> Iterator[int]:
    """Where the gateway listens."""
    with listening(member(authority, Role.GATEWAY, dns_names=["localhost"])) as port:
        yield port


def ask(channel: grpc.Channel) -> str:
    with channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        return method(b"", timeout=20).decode()


def connect(port: int, tls: grpc.ChannelCredentials) -> grpc.Channel:
    return grpc.secure_channel(f"localhost:{port}", tls)


def tls(credentials: Credentials) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(credentials.trust_pem, credentials.key_pem, credentials.chain_pem)


def refused(port: int, credentials: grpc.ChannelCredentials) -> str:
    """Ask, expecting that no connection comes about; return what gRPC says of it."""
    with pytest.raises(grpc.RpcError) as error:
        ask(connect(port, credentials))
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    return str(error.value.details())


@pytest.mark.parametrize("role", [Role.NODE, Role.RUNNER, Role.LAB])
def test_a_member_is_let_in_as_who_it_is(port: int, authority: Authority, role: Role) -> None:
    assert ask(connect(port, tls(member(authority, role)))) == f"spiffe://{FEDERATION}/{role}/one"


def test_no_certificate(port: int, authority: Authority) -> None:
    refused(port, grpc.ssl_channel_credentials(authority.trust_bundle_pem))


def test_another_authoritys_certificate(port: int, authority: Authority, tmp_path: Path) -> None:
    foreign = member(authority_in(tmp_path), Role.NODE)
    refused(port, tls(replace(foreign, trust_pem=authority.trust_bundle_pem)))


def test_an_expired_certificate(port: int, authority: Authority) -> None:
    refused(port, tls(member(authority, Role.NODE, lifetime=timedelta(seconds=-1))))


def test_a_gateways_certificate_is_not_a_members(port: int, authority: Authority) -> None:
    refused(port, tls(member(authority, Role.GATEWAY, dns_names=["localhost"])))


def test_plaintext(port: int) -> None:
    with pytest.raises(grpc.RpcError) as error:
        ask(grpc.insecure_channel(f"localhost:{port}"))
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("role", [Role.NODE, Role.RUNNER, Role.LAB])
def test_no_member_can_pose_as_the_gateway(authority: Authority, role: Role) -> None:
    with listening(member(authority, role)) as port:
        assert "CERTIFICATE_VERIFY_FAILED" in refused(port, tls(member(authority, Role.NODE)))


def test_a_gateway_of_another_host_name_is_not_the_gateway(authority: Authority) -> None:
    with listening(member(authority, Role.GATEWAY, dns_names=["elsewhere.test"])) as port:
        assert "Hostname Verification Check failed" in refused(port, tls(member(authority, Role.NODE)))
