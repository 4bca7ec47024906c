"""Who gets a stream at the gateway, and who is turned away, on the real listener of the real process."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from datalab.errors import IdentityError
from demo.probe import probe
from federation.pb import federation_pb2 as pb
from federation.pki.authority import Authority, create_authority
from federation.pki.identity import Identity, Role
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.local import open_authority, open_registry
from federation.wire.protocol import LIST_SESSIONS, NODE_CONNECT, PROTOCOL_MAJOR, RUN_CONDUCT
from tests.integration.federation.conftest import NODES
from tests.support.federation import Federation

HELLO = pb.ConnectRequest(hello=pb.NodeHello(protocol_major=PROTOCOL_MAJOR))


def certified(authority: Authority, role: Role, name: str, **how: Any) -> Credentials:
    key = new_key()
    chain = authority.issue(certificate_request(key), Identity(authority.federation, role, name), **how)
    return Credentials(key_pem(key), chain, authority.trust_bundle_pem)


def knock(federation: Federation, credentials: Credentials | None, *, trust: bytes, method: str = NODE_CONNECT) -> str:
    """Open a stream and return how it was refused: the status and what was said; empty if it was not."""
    gateway = federation.lab.address("gateway")
    if credentials is None:
        tls = grpc.ssl_channel_credentials(trust)
    else:
        tls = grpc.ssl_channel_credentials(trust, credentials.key_pem, credentials.chain_pem)
    with grpc.secure_channel(f"{gateway['host']}:{gateway['port']}", tls) as channel:
        call = channel.stream_stream(method, pb.ConnectRequest.SerializeToString, pb.ConnectResponse.FromString)(
            iter([HELLO]), timeout=5
        )
        try:
            next(call)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return ""


@pytest.fixture
def trust(federation: Federation) -> bytes:
    return open_authority(federation.lab).trust_bundle_pem


def test_an_enrolled_node_is_let_in_over_tls_1_3(federation: Federation, trust: bytes) -> None:
    own = Credentials.load(federation.node_home(NODES[0]).path / "identity")
    assert own.trust_pem == trust
    gateway = federation.lab.address("gateway")
    seen = probe(gateway["host"], gateway["port"])
    assert (seen.tls_version, seen.mutual) == ("TLSv1.3", True)
    assert not probe(gateway["host"], gateway["enrolment_port"]).mutual


def test_without_a_client_certificate_there_is_no_stream(federation: Federation, trust: bytes) -> None:
    assert knock(federation, None, trust=trust).startswith("UNAVAILABLE")


def test_another_authoritys_certificate_is_refused(federation: Federation, trust: bytes, tmp_path: Path) -> None:
    other = create_authority(tmp_path / "r", tmp_path / "i", federation="datalab.local", passphrase="secret")
    assert knock(federation, certified(other, Role.NODE, NODES[0]), trust=trust).startswith("UNAVAILABLE")


def test_an_expired_certificate_is_refused(federation: Federation, trust: bytes) -> None:
    authority = open_authority(federation.lab)
    expired = certified(authority, Role.NODE, NODES[0], lifetime=timedelta(seconds=-60))
    assert knock(federation, expired, trust=trust).startswith("UNAVAILABLE")


def test_plaintext_is_refused(federation: Federation) -> None:
    gateway = federation.lab.address("gateway")
    with socket.create_connection((gateway["host"], gateway["port"]), timeout=5) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        answer = plain.recv(1024)
    assert b"HTTP" not in answer
    with grpc.insecure_channel(f"{gateway['host']}:{gateway['port']}") as channel:
        call = channel.stream_stream(NODE_CONNECT, pb.ConnectRequest.SerializeToString, pb.ConnectResponse.FromString)
        with pytest.raises(grpc.RpcError) as refused:
            next(call(iter([HELLO]), timeout=5))
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_the_gateway_lives_through_many_handshakes_at_once(federation: Federation, trust: bytes) -> None:
    own = Credentials.load(federation.node_home(NODES[0]).path / "identity")

    gateway = federation.lab.address("gateway")
    tls = grpc.ssl_channel_credentials(trust, own.key_pem, own.chain_pem)
    each_its_own = (("grpc.use_local_subchannel_pool", 1),)

    def connect(_: int) -> str:
        with grpc.secure_channel(f"{gateway['host']}:{gateway['port']}", tls, options=each_its_own) as channel:
            method: Any = channel.unary_unary(LIST_SESSIONS)
            try:
                method(b"", timeout=20)
            except grpc.RpcError as error:
                return str(error.code().name)
        return "let in"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(connect, range(600)))
    assert set(answers) == {"PERMISSION_DENIED"}, "a node may not ask this, but that is said after the handshake"
    assert federation.processes["gateway"].poll() is None


@pytest.mark.parametrize(
    ("role", "method"), [(Role.RUNNER, NODE_CONNECT), (Role.NODE, RUN_CONDUCT), (Role.LAB, NODE_CONNECT)]
)
def test_a_role_may_call_its_own_method_only(federation: Federation, trust: bytes, role: Role, method: str) -> None:
    credentials = certified(open_authority(federation.lab), role, "somebody")
    refused = knock(federation, credentials, trust=trust, method=method)
    assert refused.startswith("PERMISSION_DENIED: This method is for a")


def test_a_certificate_that_was_not_registered_is_refused(federation: Federation, trust: bytes) -> None:
    credentials = certified(open_authority(federation.lab), Role.NODE, "stranger")
    assert "not in the register" in knock(federation, credentials, trust=trust)


def test_a_node_of_another_protocol_is_told_which_side_to_upgrade(federation: Federation, trust: bytes) -> None:
    own = Credentials.load(federation.node_home(NODES[0]).path / "identity")
    gateway = federation.lab.address("gateway")
    tls = grpc.ssl_channel_credentials(trust, own.key_pem, own.chain_pem)
    hello = pb.ConnectRequest(hello=pb.NodeHello(protocol_major=PROTOCOL_MAJOR + 1))
    with grpc.secure_channel(f"{gateway['host']}:{gateway['port']}", tls) as channel:
        call = channel.stream_stream(NODE_CONNECT, pb.ConnectRequest.SerializeToString, pb.ConnectResponse.FromString)
        with pytest.raises(grpc.RpcError, match="Upgrade the gateway"):
            next(call(iter([hello]), timeout=5))


def test_revocation_cuts_the_live_stream_and_ends_the_agent_with_a_sentence(federation: Federation) -> None:
    federation.add_node("cairo")
    federation.wait_for("cairo")
    agent = federation.processes["cairo"]
    open_registry(federation.lab).revoke(Role.NODE, "cairo")
    assert agent.wait(timeout=5) == IdentityError.exit_code
    last = federation.node_home("cairo").log_file("node").read_text(encoding="utf-8").splitlines()[-1]
    assert "revoked" in last
    federation.supervisor.forget(agent)
