"""What keeps a federation's identities current: renewal, rollover, revocation; and the hospital's own switch."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from datalab.audit.log import AuditLog
from datalab.audit.verification import verify
from datalab.errors import BadInputError, ExitCode, RefusedError
from datalab.home import Home
from federation.commands.operator import rollover
from federation.node import control
from federation.node.doctor import examine
from federation.node.status import read_status
from federation.pki.identity import Role
from federation.pki.keys import Credentials, key_pem
from federation.pki.local import open_registry
from federation.sessions import sessions
from tests.support.federation import Federation
from tests.support.waiting import events, wait_until


def serial(home: Home) -> str:
    return Credentials.load(home.path / "identity").holder.serial


@pytest.mark.parametrize("alone", [0.007], indirect=True)
def test_a_certificate_is_renewed_without_a_gap_while_a_run_goes_on(alone: Federation) -> None:
    home = alone.node_home("oslo")
    first, agent = serial(home), alone.processes["oslo"]

    def renew_in_the_middle(runner: subprocess.Popen[bytes], event: dict[str, Any]) -> None:
        del runner
        if event["event"] == "round" and event["number"] == 2:
            control.renew_now(home)

    alone.run(["oslo"], config={"num-server-rounds": 6}, while_running=renew_in_the_middle)
    assert serial(home) != first
    second = serial(home)
    wait_until(lambda: serial(home) != second, "the agent had renewed by itself")
    assert agent.poll() is None
    gateway = events(alone.lab.path / "gateway" / "audit.jsonl")
    assert [one for one in gateway if one["event"] == "node disconnected"] == []
    assert list(sessions(alone.lab)) == ["spiffe://datalab.local/node/oslo"]


def test_both_sides_hold_each_others_signed_heads(alone: Federation) -> None:
    alone.run(["oslo"])
    node, lab = alone.node_home("oslo").path / "audit.jsonl", alone.lab.path / "gateway" / "audit.jsonl"
    wait_until(lambda: any(one["event"] == "node closed run" for one in events(lab)), "the node had its last word")
    of_node, of_lab = events(node), events(lab)
    hashes = {one["n"]: one["hash"] for one in of_node}, {one["n"]: one["hash"] for one in of_lab}
    held_by_lab = [one["details"]["node_head"] for one in of_lab if "node_head" in one["details"]]
    held_by_node = [one["details"]["lab_head"] for one in of_node if "lab_head" in one["details"]]
    assert len(held_by_lab) == len(held_by_node) == 2
    for head, own in [(one, hashes[0]) for one in held_by_lab] + [(one, hashes[1]) for one in held_by_node]:
        assert head["genuine"]
        assert head["fresh"]
        assert own[head["n"]] == head["hash"]
    receipts = [one["details"]["own_head_seen"] for one in of_node + of_lab if "own_head_seen" in one["details"]]
    assert len(receipts) == 3
    assert all(one["genuine"] for one in receipts)
    assert verify(node).intact
    assert verify(lab).intact


def test_the_authority_is_replaced_while_the_node_stays(alone: Federation) -> None:
    home, lab = alone.node_home("oslo"), alone.lab
    agent = alone.processes["oslo"]
    old = Credentials.load(home.path / "identity").trust_pem
    _step(lab, "start")
    with pytest.raises(BadInputError, match="do not trust the new root"):
        _step(lab, "switch")
    control.renew_now(home)
    assert Credentials.load(home.path / "identity").trust_pem.count(b"BEGIN CERTIFICATE") == 2
    _step(lab, "switch")
    with pytest.raises(BadInputError, match="old authority"):
        _step(lab, "finish")
    control.renew_now(home)
    _step(lab, "finish")
    control.renew_now(home)
    now = Credentials.load(home.path / "identity").trust_pem
    assert now.count(b"BEGIN CERTIFICATE") == 1
    assert now != old
    assert agent.poll() is None
    assert "node disconnected" not in [one["event"] for one in events(lab.path / "gateway" / "audit.jsonl")]
    alone.run(["oslo"])


def _step(lab: Home, step: str) -> None:
    """Take a step of a rollover as an operator does."""
    result = CliRunner().invoke(rollover, [step, "--home", str(lab.path)])
    if result.exception is not None:
        raise result.exception


def test_a_revoked_gateway_takes_a_new_certificate_and_nodes_learn_of_the_old_one(alone: Federation) -> None:
    home = alone.node_home("oslo")
    open_registry(alone.lab).revoke(Role.GATEWAY, "gateway")
    log = home.log_file("node")
    wait_until(lambda: "The certificate of the gateway has been revoked" in log.read_text(), "the node knew")
    wait_until(lambda: read_status(home).state == "connected", "the node had found the gateway's new certificate")
    alone.run(["oslo"])


def test_the_kill_switch_needs_nobody_and_holds(alone: Federation) -> None:
    home, agent = alone.node_home("oslo"), alone.processes["oslo"]
    agent.send_signal(signal.SIGSTOP)  # it does not even have to answer
    assert control.stop_now(home) >= 1
    assert agent.wait(timeout=10) == -signal.SIGKILL
    alone.supervisor.forget(agent)
    assert read_status(home).state == "ended"
    with pytest.raises(RefusedError, match="stopped for good"):
        control.check_may_start(home)
    again = subprocess.run(
        [sys.executable, "-m", "datalab", "node", "start", "--home", home.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == ExitCode.REFUSED
    assert "--resume" in again.stderr
    control.release(home)
    alone.start_node("oslo")
    alone.wait_for("oslo")
    control.stop(home)
    assert read_status(home).state == "ended"
    assert verify(home.path / "audit.jsonl").intact
    named = [one["event"] for one in events(home.path / "audit.jsonl")]
    assert named[-4:] == ["node stopped at once", "node released", "certificate taken", "certificate seen"]


def test_a_second_agent_in_one_home_is_refused_and_the_first_goes_on(alone: Federation) -> None:
    home = alone.node_home("oslo")
    again = subprocess.run(
        [sys.executable, "-m", "datalab", "node", "start", "--home", home.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == ExitCode.SERVICE_FAILED
    assert f"already running in {home.path} (process {alone.processes['oslo'].pid})" in again.stderr
    assert read_status(home).state == "connected"
    alone.run(["oslo"])


@contextmanager
def tinyproxy(folder: Path, login: str, ports: list[int]) -> Iterator[int]:
    """A real proxy that asks for ``login`` and lets CONNECT through to ``ports``."""
    program = shutil.which("tinyproxy")
    if program is None:
        pytest.skip("tinyproxy is not installed (Debian package tinyproxy)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    allowed = "\n".join(f"ConnectPort {one}" for one in ports)
    config = folder / "tinyproxy.conf"
    config.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\nBasicAuth {login.replace(':', ' ')}\n{allowed}\n",
        encoding="utf-8",
    )
    process = subprocess.Popen([program, "-d", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), "the proxy listened")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_node_goes_out_through_a_proxy_and_says_what_the_proxy_says(alone: Federation, tmp_path: Path) -> None:
    gateway = alone.lab.address("gateway")
    home = alone.node_home("oslo")
    control.stop(home)
    alone.supervisor.forget(alone.processes["oslo"])
    with tinyproxy(tmp_path, "clinic:secret-word", [gateway["port"], gateway["enrolment_port"]]) as port:
        login = home.path / "proxy-login"
        login.touch(mode=0o600)
        login.write_text("clinic:wrong\n")
        toml = home.path / "node.toml"
        written = toml.read_text()
        proxied = '[gateway]\nproxy = "http://127.0.0.1:{port}"\nproxy_credentials = "proxy-login"\n'
        toml.write_text(written + proxied.format(port=port))
        alone.start_node("oslo")
        wait_until(lambda: "refuses the user name or password" in read_status(home).reason, "the refusal was said")
        login.write_text("clinic:secret-word\n")
        agent = alone.processes["oslo"]
        control.stop(home)
        alone.supervisor.forget(agent)
        alone.start_node("oslo")
        alone.wait_for("oslo")
        alone.run(["oslo"])
        text = home.log_file("node").read_text()
        assert "secret-word" not in text
        control.stop(home)
        alone.supervisor.forget(alone.processes["oslo"])
    with tinyproxy(tmp_path, "clinic:secret-word", [1]) as port:
        toml.write_text(written + proxied.format(port=port))
        alone.start_node("oslo")
        wait_until(lambda: "does not let this machine through" in read_status(home).reason, "the closed port was said")


def test_the_doctor_names_what_is_wrong_and_what_to_do(alone: Federation, tmp_path: Path) -> None:
    home = alone.node_home("oslo")

    def failed() -> dict[str, str]:
        return {one.name: one.what for one in examine(home) if one.state == "failed"}

    assert failed() == {}
    control.stop(home)
    alone.supervisor.forget(alone.processes["oslo"])
    toml, written = home.path / "node.toml", (home.path / "node.toml").read_text()
    toml.write_text(written.replace("purposes", "purpose"))
    assert "purpose" in failed()["configuration"]
    toml.write_text(written)
    own = home.path / "identity" / "identity.pem"
    own.chmod(0o644)
    assert set(failed()) == {"secrets"}
    own.chmod(0o600)
    log = home.path / "audit.jsonl"
    AuditLog(log).append("looked at")
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b"looked", b"cooked"))
    assert "Line" in failed()["audit log"]
    log.write_bytes(whole)
    ledger = home.path / "ledger.jsonl"
    spent = ledger.read_bytes()
    ledger.write_bytes(b"junk\n")
    assert "ledger" in failed()["audit log"]
    ledger.write_bytes(spent)
    control.stop_now(home)
    assert set(failed()) == {"kill switch"}
    control.release(home)
    address = home.path / "identity" / "gateway"
    for where, said in (
        ("no-such-host.invalid:1", "not known"),
        ("127.0.0.1:1", "Nobody listens"),
        (f"127.0.0.1:{_inspecting(tmp_path)}", "CN=Clinic inspection"),
    ):
        address.write_text(where, encoding="ascii")
        assert said in failed()["gateway"]


def _inspecting(folder: Path) -> int:
    """Start what a TLS-inspecting proxy is to a node: whoever answers with a certificate of an authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Clinic inspection")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "inspection.pem"
    pem.write_bytes(key_pem(key) + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)
        listener.close()

    threading.Thread(target=serve, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port
