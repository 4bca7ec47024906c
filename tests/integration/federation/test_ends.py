"""How a membership ends: with its certificate, or by revocation, whether or not the gateway was there at the time."""

from __future__ import annotations

from datetime import datetime, timedelta

from click.testing import CliRunner

from datalab.errors import IdentityError
from datalab.home import Home
from federation.commands.operator import list_nodes
from federation.node import control
from federation.node.status import read_status
from federation.pki.identity import Holder, Role
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.local import open_authority, open_registry
from tests.support.federation import Federation
from tests.support.proxy import Proxy
from tests.support.waiting import events, wait_until


def give_certificate(federation: Federation, home: Home, lifetime: timedelta) -> Holder:
    """Have the authority certify a new key for the node of ``home``, and lay both into it."""
    own, authority, key = Credentials.load(home.path / "identity"), open_authority(federation.lab), new_key()
    chain = authority.issue(certificate_request(key), own.holder.identity, lifetime=lifetime)
    short = Credentials(key_pem(key), chain, authority.trust_bundle_pem)
    open_registry(federation.lab).record_renewal(own.holder, short.holder)
    short.store(home.path / "identity")
    return short.holder


def test_a_stream_ends_with_its_certificate(alone: Federation) -> None:
    """The node is connected, and keeps its connection, but cannot make another one to renew."""
    home, gateway = alone.node_home("oslo"), alone.lab.address("gateway")
    control.stop(home)
    alone.supervisor.forget(alone.processes["oslo"])
    with Proxy(gateway["host"], gateway["port"]) as proxy:
        (home.path / "identity" / "gateway").write_text(f"127.0.0.1:{proxy.port}", encoding="ascii")
        serial = give_certificate(alone, home, timedelta(seconds=12)).serial
        alone.start_node("oslo")
        alone.wait_for("oslo")
        proxy.take_no_more()
        agent = alone.processes["oslo"]
        assert agent.wait(timeout=30) == IdentityError.exit_code
    ended = read_status(home)
    assert "The certificate of spiffe://datalab.local/node/oslo expired at" in ended.reason
    assert ended.serial == serial, "it had not renewed"
    log = events(alone.lab.path / "gateway" / "audit.jsonl")
    cut = datetime.fromisoformat([one for one in log if one["event"] == "node disconnected"][-1]["time"]).timestamp()
    assert 0 <= cut - ended.certificate_expires < 5
    alone.supervisor.forget(agent)


def test_a_revocation_survives_the_gateway(alone: Federation) -> None:
    """Revoked while the gateway is away: when it is back, the node is told so, and does not go on trying."""
    home, agent = alone.node_home("oslo"), alone.processes["oslo"]
    ports = alone.lab.address("gateway")
    gateway = alone.processes["gateway"]
    gateway.kill()
    alone.supervisor.forget(gateway)
    wait_until(lambda: "Nobody listens" in read_status(home).reason, "the node knew that the gateway was away")
    open_registry(alone.lab).revoke(Role.NODE, "oslo")
    settings = f"[ports]\ngateway = {ports['port']}\nenrolment = {ports['enrolment_port']}\n"
    (alone.lab.path / "datalab.toml").write_text(settings, encoding="utf-8")
    alone.start_gateway()
    assert agent.wait(timeout=45) == IdentityError.exit_code
    assert "The certificate of spiffe://datalab.local/node/oslo was revoked at" in read_status(home).reason
    alone.supervisor.forget(agent)
    alone.start_node("oslo")
    again = alone.processes["oslo"]
    assert again.wait(timeout=30) == IdentityError.exit_code
    assert "was revoked at" in read_status(home).reason
    alone.supervisor.forget(again)


def test_the_operator_sees_who_is_connected_and_who_was_revoked(alone: Federation) -> None:
    lab = alone.lab

    def listed(name: str) -> str:
        output = CliRunner(env={"COLUMNS": "250"}).invoke(list_nodes, ["--home", str(lab.path)]).output
        (line,) = (one for one in output.splitlines() if one.startswith(f"{name} "))
        return line

    own = Credentials.load(alone.node_home("oslo").path / "identity").holder
    line = listed("oslo")
    assert own.serial[:8] in line
    assert " 7.0 " in line
    assert "connected since" in line
    open_registry(lab).revoke(Role.NODE, "oslo")
    wait_until(lambda: "connected" not in listed("oslo"), "its stream was cut")
    assert "revoked 20" in listed("oslo")
    alone.supervisor.forget(alone.processes["oslo"])
