"""Every method of every service, asked by every role, on the listeners of a real gateway: the one table holds."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from federation.enrolment.client import enrol
from federation.gateway.guard import ROLES
from federation.pb import enrolment_pb2, federation_pb2
from federation.pki.identity import Role
from federation.pki.keys import Credentials
from federation.pki.local import invite, issue_gateway_certificate, lab_credentials, open_authority
from tests.integration.federation.conftest import NODES
from tests.support.federation import Federation

METHODS = [
    f"/{service.full_name}/{method.name}"
    for file in (enrolment_pb2, federation_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
NOBODY = "nobody"
CALLERS = [*Role, NOBODY]
TURNED_AWAY = "PERMISSION_DENIED"
NOT_LET_IN = "UNAVAILABLE"
UNKNOWN = "UNIMPLEMENTED"


@pytest.fixture(scope="module")
def credentials(federation: Federation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Credentials]:
    """Of a member of each role, every one of them in the register."""
    runner = tmp_path_factory.mktemp("runner")
    enrol(invite(federation.lab, Role.RUNNER, "run-of-roles"), runner)
    return {
        Role.NODE: Credentials.load(federation.node_home(NODES[0]).path / "identity"),
        Role.RUNNER: Credentials.load(runner),
        Role.GATEWAY: issue_gateway_certificate(federation.lab),
        Role.LAB: lab_credentials(federation.lab),
    }


@pytest.fixture(scope="module")
def ask(federation: Federation, credentials: dict[str, Credentials]) -> Callable[[str, str, str], str]:
    """Sends one empty message to a method of a listener, as a caller; returns the status that comes back."""
    gateway = federation.lab.address("gateway")
    trust = open_authority(federation.lab).trust_bundle_pem

    def one(listener: str, method: str, caller: str) -> str:
        own = credentials.get(caller)
        pair = (own.key_pem, own.chain_pem) if own else (None, None)
        tls = grpc.ssl_channel_credentials(trust, *pair)
        with grpc.secure_channel(f"{gateway['host']}:{gateway[listener]}", tls) as channel:
            call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
            try:
                next(call(iter([b""]), timeout=20))
            except grpc.RpcError as error:
                return str(error.code().name)
        return "OK"

    return one


def test_the_table_names_every_method_but_enrolment() -> None:
    assert {one for one in METHODS if not one.endswith("/Enrol")} == set(ROLES)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("method", METHODS)
def test_the_listener_for_members(ask: Callable[[str, str, str], str], method: str, caller: str) -> None:
    answer = ask("port", method, caller)
    if caller in (NOBODY, Role.GATEWAY):  # a gateway's certificate is a server's
        assert answer == NOT_LET_IN
    elif method not in ROLES:
        assert answer == UNKNOWN
    elif caller in ROLES[method]:
        assert answer in ("OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION"), "an empty message at most is refused"
    else:
        assert answer == TURNED_AWAY


@pytest.mark.parametrize("caller", [Role.NODE, NOBODY])
@pytest.mark.parametrize("method", METHODS)
def test_the_listener_for_enrolment(ask: Callable[[str, str, str], str], method: str, caller: str) -> None:
    assert ask("enrolment_port", method, caller) == (UNKNOWN if method in ROLES else "FAILED_PRECONDITION")
