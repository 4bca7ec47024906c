"""Whoever has a gateway's key, stolen or revoked, gets no member to trust an authority of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from datalab.errors import IdentityError
from federation.enrolment.client import enrol
from federation.enrolment.renewal import renew
from federation.pb import enrolment_pb2 as pb
from federation.pki.authority import Authority, create_authority
from federation.pki.identity import Identity, Role
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.token import EnrolmentToken
from federation.wire.channel import mutual_tls_channel
from federation.wire.protocol import PROTOCOL_MAJOR, RENEW
from tests.integration.enrolment.conftest import GATEWAY
from tests.support.serving import serving

NODE = Identity("datalab.test", Role.NODE, "one")
ENROL = "/datalab.federation.v1.EnrolmentService/Enrol"


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
    def one() -> Authority:
        folder = tmp_path_factory.mktemp("authority")
        return create_authority(folder / "r", folder / "i", federation=NODE.federation, passphrase="secret")

    return one


@pytest.fixture(scope="module")
def genuine(make: Callable[[], Authority]) -> Authority:
    return make()


@pytest.fixture(scope="module")
def thiefs(make: Callable[[], Authority]) -> Authority:
    return make()


@pytest.fixture(params=["own roots only", "own roots beside the true ones"])
def roots(request: pytest.FixtureRequest, genuine: Authority, thiefs: Authority) -> bytes:
    """What the thief hands out as roots to trust."""
    true = b"" if request.param == "own roots only" else genuine.trust_bundle_pem
    return thiefs.trust_bundle_pem + true


def issued(authority: Authority, identity: Identity, **names: Any) -> Credentials:
    key = new_key()
    chain = authority.issue(certificate_request(key), identity, **names)
    return Credentials(key_pem(key), chain, authority.trust_bundle_pem)


async def start(gateway: Credentials, method: str, answer: Any, kind: Any) -> tuple[grpc.aio.Server, int]:
    """Serve one method with a gateway's genuine certificate."""

    async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        return answer(request)

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        serve, kind.FromString, lambda message: message.SerializeToString()
    )
    service, _, name = method[1:].partition("/")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(gateway.key_pem, gateway.chain_pem)]))
    await server.start()
    return server, port


@pytest.fixture
def stolen(genuine: Authority) -> Credentials:
    """A gateway's key and certificate, genuine as far as TLS can tell."""
    gateway = Identity(NODE.federation, Role.GATEWAY, "gateway")
    return issued(genuine, gateway, dns_names=["localhost"])


def test_not_by_renewal(genuine: Authority, thiefs: Authority, stolen: Credentials, roots: bytes) -> None:
    present = issued(genuine, NODE)

    def answer(request: pb.RenewRequest) -> pb.RenewResponse:
        chain = thiefs.issue(request.certificate_request_pem, NODE)
        return pb.RenewResponse(certificate_chain_pem=chain, trust_bundle_pem=roots)

    with (
        serving(lambda: start(stolen, RENEW, answer, pb.RenewRequest)) as port,
        pytest.raises(IdentityError, match="not issued by the federation's authority"),
    ):
        asyncio.run(renew(present, lambda own: mutual_tls_channel(f"localhost:{port}", own)))


def test_not_by_enrolment(
    genuine: Authority, thiefs: Authority, stolen: Credentials, roots: bytes, tmp_path: Path
) -> None:
    def answer(request: pb.EnrolRequest) -> pb.EnrolResponse:
        return pb.EnrolResponse(
            protocol_major=PROTOCOL_MAJOR,
            certificate_chain_pem=thiefs.issue(request.certificate_request_pem, NODE),
            trust_bundle_pem=roots,
            gateway_address=GATEWAY,
        )

    with serving(lambda: start(stolen, ENROL, answer, pb.EnrolRequest)) as port:
        token = EnrolmentToken(
            address=f"localhost:{port}",
            secret="s" * 43,
            federation=NODE.federation,
            role=NODE.role,
            name=NODE.name,
            ca=genuine.root.public_bytes(Encoding.DER),
        )
        with pytest.raises(IdentityError, match="authority"):
            enrol(token.encode(), tmp_path / "identity")
    assert not (tmp_path / "identity").exists()
