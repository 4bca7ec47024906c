"""Who answers where a real agent expects its gateway, over real TLS: impostors, and gateways by a wrong clock."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from datalab.errors import IdentityError, ServiceFailedError
from datalab.home import Home
from datalab.supervisor import Supervisor
from federation.enrolment.client import enrol
from federation.node import control
from federation.node.doctor import examine
from federation.node.status import describe, read_status
from federation.node.trust import LIST_FILE
from federation.pb import federation_pb2 as pb
from federation.pb.enrolment_pb2 import RenewRequest, RenewResponse
from federation.pki import certificates
from federation.pki.authority import create_authority
from federation.pki.identity import Role, holder_from_pem
from federation.pki.keys import Credentials
from federation.pki.local import invite, issue_gateway_certificate, open_authority, open_registry
from federation.pki.seal import WELCOME, Sealer
from federation.wire.protocol import NODE_CONNECT, PROTOCOL_MAJOR, PROTOCOL_MINOR, RENEW
from federation.wire.sealed import welcome_document
from tests.support.federation import Federation
from tests.support.serving import serving
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A gateway, and one node that is sent elsewhere."""
    with Supervisor() as supervisor:
        running = Federation(tmp_path_factory.mktemp("federation"), supervisor)
        running.add_node("oslo")
        running.wait_for("oslo")
        yield running


class Answering:
    """Answers a node as a gateway does, with ``credentials``.

    Args:
        credentials: for TLS, and for the proof in the welcome.
        revocations: the list that it shows, if any.
        ahead: by how much its clock is.
        trust: the roots by which it lets nodes in; those of ``credentials`` if they are left out.
        issue: makes a certificate chain of a signing request, for nodes that renew.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        revocations: pb.RevocationList | None = None,
        ahead: timedelta = timedelta(0),
        trust: bytes = b"",
        issue: Callable[[bytes], bytes] = lambda _: b"",
    ) -> None:
        self.hellos: list[pb.NodeHello] = []
        self.further: list[pb.ConnectRequest] = []
        self._credentials = credentials
        self._revocations = revocations
        self._ahead = ahead
        self._trust = trust or credentials.trust_pem
        self._issue = issue

    def serving(self) -> AbstractContextManager[int]:
        return serving(self._start)

    async def _start(self) -> tuple[grpc.aio.Server, int]:
        connect: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            self._connect, pb.ConnectRequest.FromString, pb.ConnectResponse.SerializeToString
        )
        renew: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            self._renew, RenewRequest.FromString, RenewResponse.SerializeToString
        )
        server = grpc.aio.server()
        for path, handler in ((NODE_CONNECT, connect), (RENEW, renew)):
            service, _, method = path[1:].partition("/")
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        pair = [(self._credentials.key_pem, self._credentials.chain_pem)]
        tls = grpc.ssl_server_credentials(pair, self._trust, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", tls)
        await server.start()
        return server, port

    async def _connect(
        self, requests: AsyncIterator[pb.ConnectRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.ConnectResponse]:
        hello = (await anext(requests)).hello
        self.hellos.append(hello)
        (pem,) = context.auth_context()["x509_pem_cert"]
        document = welcome_document(str(holder_from_pem(pem).identity), hello.nonce)
        yield pb.ConnectResponse(
            welcome=pb.NodeWelcome(
                protocol_major=PROTOCOL_MAJOR,
                protocol_minor=PROTOCOL_MINOR,
                node=holder_from_pem(pem).identity.name,
                gateway_chain_pem=self._credentials.chain_pem,
                signature=Sealer(self._credentials).seal(WELCOME, document),
                time=time.time() + self._ahead.total_seconds(),
                revocations=self._revocations,
            )
        )
        async for frame in requests:
            self.further.append(frame)

    async def _renew(self, request: RenewRequest, _: grpc.aio.ServicerContext[Any, Any]) -> RenewResponse:
        chain = self._issue(request.certificate_request_pem)
        return RenewResponse(certificate_chain_pem=chain, trust_bundle_pem=self._credentials.trust_pem)


@pytest.fixture
def node(federation: Federation) -> Iterator[Home]:
    """The node's home; its agent does not run, and goes back to its gateway after the test."""
    home = federation.node_home("oslo")
    federation.wait_for("oslo")
    _stop(federation, home)
    address = home.path / "identity" / "gateway"
    true = address.read_text()
    yield home
    _stop(federation, home)
    address.write_text(true)
    federation.start_node("oslo")


def _stop(federation: Federation, home: Home) -> None:
    control.stop(home)
    federation.supervisor.forget(federation.processes["oslo"])


def send_to(federation: Federation, home: Home, port: int) -> None:
    """Start the agent, whose gateway is now at ``port``."""
    (home.path / "identity" / "gateway").write_text(f"127.0.0.1:{port}", encoding="ascii")
    federation.start_node("oslo")


def known_list(home: Home) -> pb.RevocationList:
    return pb.RevocationList.FromString((home.path / "identity" / LIST_FILE).read_bytes())


def says(home: Home, pattern: str) -> None:
    """Wait until the agent says why it is not connected."""
    wait_until(lambda: re.search(pattern, read_status(home).reason) is not None, f"it said {pattern!r}")
    assert read_status(home).state == "connecting"


def test_a_member_that_poses_as_the_gateway_is_told_from_one_and_named(
    federation: Federation, node: Home, tmp_path: Path
) -> None:
    enrol(invite(federation.lab, Role.NODE, "utrecht", organisation="A", country="NL"), tmp_path)
    impostor = Answering(Credentials.load(tmp_path), revocations=known_list(node))
    with impostor.serving() as port:
        send_to(federation, node, port)
        says(node, "is no gateway.*It is that of spiffe://datalab.local/node/utrecht.*Tell the federation's operator")
    assert impostor.hellos == [], "nothing is said to whoever cannot show a gateway's certificate"


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("the list it is on", "spiffe://datalab.local/gateway/gateway has been revoked"),
        ("the list before", "older than the one known here"),
        ("none", "spiffe://datalab.local/gateway/gateway has been revoked"),
    ],
)
def test_a_revoked_gateway_is_refused_whatever_list_it_shows(
    federation: Federation, node: Home, shown: str, said: str
) -> None:
    stolen, before = issue_gateway_certificate(federation.lab), known_list(node)
    open_registry(federation.lab).revoke(Role.GATEWAY, "gateway")
    federation.start_node("oslo")
    wait_until(lambda: known_list(node) != before, "the node knew the new list")
    _stop(federation, node)
    lists = {"the list it is on": known_list(node), "the list before": before, "none": None}
    impostor = Answering(stolen, revocations=lists[shown])
    with impostor.serving() as port:
        send_to(federation, node, port)
        says(node, said)
    assert impostor.hellos, "TLS has nothing against it: it is the node that refuses"
    assert impostor.further == []


def backdated(federation: Federation, monkeypatch: pytest.MonkeyPatch, by: timedelta) -> Credentials:
    """A gateway's genuine certificate, valid from ``by`` before now on."""
    with monkeypatch.context() as patched:
        patched.setattr(certificates, "BACKDATED", by)
        return issue_gateway_certificate(federation.lab)


def test_minutes_between_the_clocks_are_tolerated(
    federation: Federation, node: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node sees it whose clock is four minutes slow, of a gateway that took its certificate a moment ago."""
    young = backdated(federation, monkeypatch, timedelta(minutes=1))
    with Answering(young, revocations=known_list(node), ahead=timedelta(minutes=4)).serving() as port:
        send_to(federation, node, port)
        wait_until(lambda: read_status(node).state == "connected", "it was connected")
        assert read_status(node).clock_skew == pytest.approx(-240, abs=10)
        (clock,) = (one for one in examine(node) if one.name == "clock")
        assert (clock.state, clock.remedy) == ("warning", "Set this machine's clock (NTP).")


def test_hours_between_the_clocks_are_said(
    federation: Federation, node: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a node sees it whose clock is three hours slow."""
    old = backdated(federation, monkeypatch, timedelta(minutes=5))
    with Answering(old, revocations=known_list(node), ahead=timedelta(hours=3)).serving() as port:
        send_to(federation, node, port)
        wait_until(lambda: read_status(node).state == "connected", "it was connected")
        (clock,) = (one for one in examine(node) if one.name == "clock")
        assert (clock.state, clock.remedy) == ("failed", "Set this machine's clock (NTP).")
        assert re.search(r"clock is -1(0799|080\d) seconds against the gateway's", clock.what)
        assert "this machine's clock differs from the gateway's" in node.log_file("node").read_text()
        _stop(federation, node)
    young = backdated(federation, monkeypatch, -timedelta(hours=3))
    impostor = Answering(young)
    with impostor.serving() as port:
        send_to(federation, node, port)
        begins = young.holder.not_before
        says(
            node,
            rf"not valid yet by this machine's clock.*valid from {begins:%Y-%m-%d %H:%M} .*Set this machine's clock",
        )
        gateway = federation.lab.address("gateway")
        federation.lab.announce("gateway", **{**gateway, "enrolment_port": port})
        try:
            token = invite(federation.lab, Role.NODE, "bergen", organisation="A", country="NO")
        finally:
            federation.lab.announce("gateway", **gateway)
        with pytest.raises(IdentityError, match=r"not valid at this time by this machine's clock.*NTP"):
            enrol(token, tmp_path)


def test_a_certificate_that_is_not_valid_yet_here_is_not_taken_and_the_agent_goes_on(
    federation: Federation, node: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node sees it whose clock is an hour slow: what it has is good, and what it is given is not yet."""
    own, authority = Credentials.load(node.path / "identity").holder, open_authority(federation.lab)

    def issue(request: bytes) -> bytes:
        with monkeypatch.context() as patched:
            patched.setattr(certificates, "BACKDATED", timedelta(minutes=-55))
            return authority.issue(request, own.identity)

    gateway = issue_gateway_certificate(federation.lab)
    with Answering(gateway, revocations=known_list(node), issue=issue).serving() as port:
        send_to(federation, node, port)
        wait_until(lambda: read_status(node).state == "connected", "it was connected")
        with pytest.raises(ServiceFailedError, match=r"valid from .* and this machine's clock says .*NTP"):
            control.renew_now(node)
        assert read_status(node).state == "connected"
        assert Credentials.load(node.path / "identity").holder == own
        assert any("clock says" in value for name, value in describe(read_status(node)) if name == "Last renewal")


def test_a_gateway_that_hangs_up_on_the_nodes_certificate_is_said_to_do_so(
    federation: Federation, node: Home, tmp_path: Path
) -> None:
    other = create_authority(tmp_path / "r", tmp_path / "i", federation="datalab.local", passphrase="secret")
    own = issue_gateway_certificate(federation.lab)
    with Answering(own, trust=other.trust_bundle_pem).serving() as port:
        send_to(federation, node, port)
        says(node, "does not accept this node's certificate, which is valid from .* This machine's clock says")
