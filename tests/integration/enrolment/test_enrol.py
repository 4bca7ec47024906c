"""Enrolling over the network: who gets a certificate, and who learns why not."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from ssl import DER_cert_to_PEM_cert, PEM_cert_to_DER_cert

import grpc
import pytest

from datalab.errors import DatalabError, IdentityError, RefusedError, ServiceFailedError
from datalab.home import Home
from federation.enrolment import client
from federation.enrolment.client import GATEWAY_FILE, enrol
from federation.enrolment.limit import MAX_FAILURES
from federation.errors import WireError
from federation.pb import enrolment_pb2 as pb
from federation.pki.identity import Role
from federation.pki.keys import Credentials
from federation.pki.local import create_federation, invite, open_authority, open_registry
from federation.pki.token import EnrolmentToken
from tests.integration.enrolment.conftest import GATEWAY


def invited(lab: Home, name: str = "rotterdam") -> str:
    return invite(lab, Role.NODE, name, organisation="Erasmus MC", country="NL")


def with_fields(token: str, **changes: object) -> str:
    return EnrolmentToken.decode(token).model_copy(update=changes).encode()


def call(token: str, request: pb.EnrolRequest) -> pb.EnrolResponse:
    """Ask the service as any program might."""
    fields = EnrolmentToken.decode(token)
    trust = grpc.ssl_channel_credentials(DER_cert_to_PEM_cert(fields.ca).encode())
    with grpc.secure_channel(fields.address, trust) as channel:
        method = channel.unary_unary(
            "/datalab.federation.v1.EnrolmentService/Enrol",
            request_serializer=pb.EnrolRequest.SerializeToString,
            response_deserializer=pb.EnrolResponse.FromString,
        )
        answer: pb.EnrolResponse = method(request, timeout=20)
    return answer


def test_a_node_makes_its_key_and_gets_a_certificate_for_it(lab: Home, tmp_path: Path) -> None:
    folder = tmp_path / "node" / "identity"
    identity = enrol(invited(lab), folder)

    assert str(identity) == "spiffe://datalab.local/node/rotterdam"
    credentials = Credentials.load(folder)
    credentials.check(identity)
    assert (folder / GATEWAY_FILE).read_text() == GATEWAY
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    member = open_registry(lab).check_admitted(credentials.holder)
    assert (member.organisation, member.country) == ("Erasmus MC", "NL")

    kept_by_the_lab = [path.read_bytes() for path in lab.path.rglob("*") if path.is_file()]
    assert not any(credentials.key_pem.strip() in data for data in kept_by_the_lab)


def test_a_token_works_once(lab: Home, tmp_path: Path) -> None:
    token = invited(lab)
    enrol(token, tmp_path / "first")
    with pytest.raises(IdentityError, match="used already"):
        enrol(token, tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_an_expired_token_does_not_work(lab: Home, tmp_path: Path) -> None:
    token = invite(lab, Role.NODE, "late", organisation="A", country="NL", lifetime=timedelta(0))
    with pytest.raises(IdentityError, match="expired"):
        enrol(token, tmp_path / "node")


def test_a_changed_name_does_not_make_another_member(lab: Home, tmp_path: Path) -> None:
    token = with_fields(invited(lab), name="utrecht")
    with pytest.raises(IdentityError, match="not for"):
        enrol(token, tmp_path / "node")
    assert not (tmp_path / "node").exists()


def test_nothing_is_said_to_a_gateway_of_another_authority(lab: Home, tmp_path: Path) -> None:
    token = invited(lab)
    other = create_federation(Home(tmp_path / "other"))
    with pytest.raises(IdentityError, match="not of the federation"):
        enrol(with_fields(token, ca=PEM_cert_to_DER_cert(other.trust_bundle_pem.decode())), tmp_path / "node")
    enrol(token, tmp_path / "node")  # the secret was not spent


def test_where_nobody_answers_it_says_so(lab: Home, tmp_path: Path) -> None:
    with pytest.raises(ServiceFailedError, match="Nobody answers") as error:
        enrol(with_fields(invited(lab), address="127.0.0.1:1"), tmp_path / "node")
    assert error.value.where == "127.0.0.1:1"


def test_a_bad_request_does_not_cost_the_token(lab: Home, tmp_path: Path) -> None:
    token = invited(lab)
    request = pb.EnrolRequest(
        protocol_major=1, secret=EnrolmentToken.decode(token).secret, certificate_request_pem=b"no request"
    )
    with pytest.raises(grpc.RpcError) as error:
        call(token, request)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    enrol(token, tmp_path / "node")


@pytest.mark.parametrize(("major", "side"), [(0, "Upgrade the node"), (99, "Upgrade the gateway")])
def test_another_protocol_is_told_which_side_to_upgrade(
    lab: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, major: int, side: str
) -> None:
    monkeypatch.setattr(client, "PROTOCOL_MAJOR", major)
    with pytest.raises(WireError, match=side):
        enrol(invited(lab), tmp_path / "node")


def test_guessing_is_slowed_down_and_recorded(lab: Home, tmp_path: Path) -> None:
    token = invited(lab)
    guess = with_fields(token, secret="x" * 43)

    def attempt() -> type[DatalabError]:
        with pytest.raises(DatalabError) as error:
            enrol(guess, tmp_path / "node")
        return error.type

    assert [attempt() for _ in range(MAX_FAILURES + 1)] == [IdentityError] * MAX_FAILURES + [RefusedError]
    log = (lab.path / "federation" / "audit.jsonl").read_text()
    refused = [one for one in map(json.loads, log.splitlines()) if one["event"] == "enrolment.refused"]
    assert len(refused) == MAX_FAILURES
    assert refused[0]["details"] == {"peer": "ipv4:127.0.0.1", "reason": "This invitation is not known here."}
    assert "x" * 43 not in log


def test_the_labs_own_trouble_is_not_shown_to_a_peer(
    lab: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = invited(lab)
    audit = lab.path / "federation" / "audit.jsonl"
    audit.write_bytes(audit.read_bytes()[:-40] + b"\n")
    with pytest.raises(DatalabError) as error:
        enrol(token, tmp_path / "node")
    assert error.value.what == ("Enrolment failed: The gateway has a fault. Ask its operator to look into its log.")


def test_a_request_for_a_runner(lab: Home, tmp_path: Path) -> None:
    assert enrol(invite(lab, Role.RUNNER, "run-1"), tmp_path / "runner").role is Role.RUNNER
    (runner,) = open_registry(lab).members()[-1:]
    assert (runner.role, runner.organisation) == (Role.RUNNER, open_authority(lab).federation)
