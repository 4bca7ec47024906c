"""What stands between a node and its work, looked at one by one, each with its remedy."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from datalab import __version__
from datalab.audit.verification import verify
from datalab.errors import DatalabError, NotFoundError
from datalab.home import Home
from federation.enrolment.client import gateway_address
from federation.node.approvals import approved
from federation.node.config import NodeConfig, load_config, load_proxy
from federation.node.control import MARK
from federation.node.diagnosis import Cause, diagnose
from federation.node.ledger import read_spendings
from federation.node.status import read_status
from federation.node.trust import SKEW_NOTED, SKEW_TOLERATED, GatewayTrust
from federation.pki.keys import Credentials
from federation.sandbox.bubblewrap import check_sandbox
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR

FREE_BYTES = 1 << 30
"""Less free room than this is worth a warning: a model and its replies have to fit."""

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it was.
        state: how it is.
        what: one sentence.
        remedy: what to do, where it is not ok.
    """

    name: str
    state: State
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class _Node:
    home: Home
    config: NodeConfig


def examine(home: Home) -> Iterator[Check]:
    """Yield every check; one that fails does not keep the others from being made.

    Without a valid ``node.toml``, the others are made as for an empty one.

    Raises:
        NotFoundError: there is no such home.
    """
    if not home.path.is_dir():
        raise NotFoundError(f"There is no folder {home.path}.", next_step="Name the node's own folder with --home.")
    node, at_fault = _Node(home, NodeConfig()), None
    try:
        node = _Node(home, load_config(home.path))
    except DatalabError as error:
        at_fault = _failed("configuration", error)
    checks: list[tuple[str, Callable[[_Node], Check]]] = [
        ("versions", _versions),
        ("configuration", _configuration),
        ("identity", _identity),
        ("secrets", _secrets),
        ("gateway", _gateway),
        ("clock", _clock),
        ("revocation list", _revocations),
        ("disk", _disk),
        ("audit log", _audit),
        ("sandbox", _sandbox),
        ("kill switch", _kill_switch),
    ]
    for name, check in checks:
        if name == "configuration" and at_fault is not None:
            yield at_fault
            continue
        try:
            yield check(node)
        except DatalabError as error:
            yield _failed(name, error)
        except OSError as error:
            yield Check(name, "failed", f"It cannot be read: {error.strerror}.", "Check who owns the node's folder.")


def _failed(name: str, error: DatalabError) -> Check:
    return Check(name, "failed", error.what, error.next_step or "")


def _versions(_: _Node) -> Check:
    what = f"Datalab {__version__}, Python {platform.python_version()}, protocol {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}"
    return Check("versions", "ok", what)


def _configuration(node: _Node) -> Check:
    apps = {app.sha256 for app in node.config.policy.apps} | approved(node.home.path)
    what = f"node.toml is valid: {len(node.config.datasets)} datasets, {len(apps)} apps allowed."
    if not node.config.policy.permit_keys:
        return Check("configuration", "warning", what, "No permit counts here: name keys under policy.permit_keys.")
    return Check("configuration", "ok", what)


def _identity(node: _Node) -> Check:
    credentials = Credentials.load(node.home.path / "identity")
    holder = credentials.holder
    if credentials.days_left() <= 0:
        remedy = "Enrol again with a new token: datalab node enrol"
        return Check("identity", "failed", f"The certificate expired at {holder.expires:%Y-%m-%d %H:%M} UTC.", remedy)
    credentials.check(holder.identity)
    what = f"{holder.identity}, good for {credentials.days_left():.1f} days"
    if datetime.now(UTC) > holder.renewal_due:
        return Check("identity", "warning", f"{what}; renewal is overdue.", "See why: datalab node status")
    return Check("identity", "ok", f"{what}.")


def _secrets(node: _Node) -> Check:
    files = list((node.home.path / "identity").glob("*.pem"))
    if node.config.gateway.proxy_credentials is not None:
        files.append(node.home.path / node.config.gateway.proxy_credentials)
    files += [node.home.path / one.s3.credentials for one in node.config.datasets if one.s3 is not None]
    open_files = [path for path in files if path.stat().st_mode & 0o077]
    if open_files:
        names = " ".join(map(str, open_files))
        return Check("secrets", "failed", "Others than their owner can read secret files.", f"chmod 600 {names}")
    return Check("secrets", "ok", "Only their owner can read the secret files.")


def _gateway(node: _Node) -> Check:
    folder = node.home.path / "identity"
    proxy = load_proxy(node.home.path, node.config.gateway)
    found = diagnose(gateway_address(folder), Credentials.load(folder), proxy)
    return Check("gateway", "ok" if found.cause is Cause.NONE else "failed", found.what, found.remedy)


def _clock(node: _Node) -> Check:
    try:
        skew = read_status(node.home).clock_skew
    except DatalabError:
        return Check("clock", "warning", "The agent has not compared it with the gateway's yet.", "Start the node.")
    if abs(skew) > SKEW_NOTED.total_seconds():
        what = f"This machine's clock is {skew:+.0f} seconds against the gateway's."
        state: State = "warning"
        if abs(skew) > SKEW_TOLERATED.total_seconds():
            state, what = "failed", f"{what} Certificates may be refused."
        return Check("clock", state, what, "Set this machine's clock (NTP).")
    return Check("clock", "ok", f"Within {abs(skew):.1f} seconds of the gateway's.")


def _revocations(node: _Node) -> Check:
    trust = GatewayTrust(node.home.path / "identity")
    trust.load(Credentials.load(node.home.path / "identity"))
    if trust.revocations is None:
        return Check("revocation list", "warning", "The gateway has not sent one yet.", "Start the node.")
    made = trust.revocations.made
    what = f"Number {trust.revocations.number}, signed {made:%Y-%m-%d %H:%M} UTC."
    if trust.revocations.stale < datetime.now(UTC):
        return Check("revocation list", "failed", f"{what} It is stale.", "Connect the node to its gateway.")
    return Check("revocation list", "ok", what)


def _disk(node: _Node) -> Check:
    node.home.check_writable()
    free = shutil.disk_usage(node.home.path).free
    what = f"{free / (1 << 30):.1f} GiB free below {node.home.path}."
    if free < FREE_BYTES:
        return Check("disk", "warning", what, "Make room, or move the node's folder.")
    return Check("disk", "ok", what)


def _audit(node: _Node) -> Check:
    path = node.home.path / "audit.jsonl"
    if not path.exists():
        return Check("audit log", "ok", "There is none yet.")
    started = time.monotonic()
    found = verify(path)
    if not found.intact:
        first = found.problems[0]
        what = f"Line {first.line} {first.what}."
        return Check("audit log", "failed", what, f"Keep it as it is, and look: datalab audit verify {path}")
    read_spendings(node.home.path)  # raises if the ledger was changed
    return Check("audit log", "ok", f"{found.head.n} entries, all intact ({time.monotonic() - started:.1f} s).")


def _sandbox(node: _Node) -> Check:
    if node.config.policy.sandbox == "none":
        remedy = 'Write sandbox = "bubblewrap" under [policy] in node.toml.'
        return Check("sandbox", "warning", "node.toml lets apps run without a sandbox.", remedy)
    return Check("sandbox", "ok", f"It holds here: {check_sandbox()}.")


def _kill_switch(node: _Node) -> Check:
    if (node.home.path / MARK).exists():
        remedy = f"datalab node start --home {node.home.path} --resume"
        return Check("kill switch", "failed", "The node was stopped for good.", remedy)
    return Check("kill switch", "ok", "Off.")
