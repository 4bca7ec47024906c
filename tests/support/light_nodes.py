"""``python -m tests.support.light_nodes --home HOME``: many nodes in one process, to measure gateway and runner with.

Each has a certificate and a TCP connection of its own and speaks the real protocol, but it has neither policy, audit
log nor worker: it accepts every run and answers every task at once with the model that it was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from datalab import __version__
from datalab.home import Home
from datalab.service import run_service
from federation.enrolment.client import GATEWAY_FILE, gateway_address
from federation.node.connection import Stream
from federation.node.trust import GatewayTrust
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2
from federation.pki.identity import Identity, Role, holder_from_pem
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.local import open_authority, open_registry
from federation.pki.members import Invite
from federation.wire.channel import mutual_tls_channel
from federation.wire.frames import frame_of
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR

SERVICE, MODULE = "light-nodes", "tests.support.light_nodes"
LIFETIME = timedelta(days=1)


def certify(lab: Home, names: Sequence[str], home: Home) -> None:
    """Give each of ``names`` a key and a certificate, below ``home``; the gateway must be running."""
    authority, registry, gateway = open_authority(lab), open_registry(lab), lab.address("gateway")
    now = datetime.now(UTC)
    for name in names:
        key = new_key()
        chain = authority.issue(
            certificate_request(key), Identity(authority.federation, Role.NODE, name), lifetime=LIFETIME
        )
        invited = Invite(role=Role.NODE, name=name, organisation=name, country="NL", created=now, expires=now)
        registry.record_certificate(invited, holder_from_pem(chain))
        folder = home.folder("identities", name)
        Credentials(key_pem(key), chain, authority.trust_bundle_pem).store(folder)
        (folder / GATEWAY_FILE).write_text(f"{gateway['host']}:{gateway['port']}", encoding="ascii")


def main(home: Home) -> None:
    """Connect every node below ``home``, say so, and answer until SIGTERM."""
    asyncio.run(_serve(home))


async def _serve(home: Home) -> None:
    streams = [await _connect(folder) for folder in sorted((home.path / "identities").iterdir())]
    home.announce(SERVICE, nodes=len(streams))
    await asyncio.gather(*(_answer(stream) for stream in streams))


async def _connect(folder: Path) -> Stream:
    credentials, trust = Credentials.load(folder), GatewayTrust(folder)
    nonce = trust.nonce()
    hello = pb.NodeHello(
        protocol_major=PROTOCOL_MAJOR, protocol_minor=PROTOCOL_MINOR, software=__version__, nonce=nonce
    )
    channel = mutual_tls_channel(gateway_address(folder), credentials)
    stream, welcome = await Stream.open(channel, credentials, hello)
    trust.check_welcome(welcome, nonce, credentials)
    return stream


async def _answer(stream: Stream) -> None:
    name = stream.credentials.holder.identity.name
    async for frame in stream.frames:
        match getattr(frame, frame.WhichOneof("frame") or "", None):
            case pb.Offer() as offer:
                decision = pb.Decision(run_id=offer.run_id, node=name, code=pb.DECISION_CODE_ACCEPTED)
                await stream.send(pb.ConnectRequest(decision=decision))
            case pb.Task() as task:
                reply = pb.Reply(run_id=task.run_id, task_id=task.task_id)
                _fill(reply.content, task)
                await stream.send(frame_of(pb.ConnectRequest, "reply", reply))


def _fill(content: records_pb2.RecordDict, task: pb.Task) -> None:
    """Write what the echo app answers: the model, if it is to be trained, and its loss."""
    for entry in task.content.entries:
        if task.message_type == "train" and entry.WhichOneof("record") == "array_record":
            content.entries.add().CopyFrom(entry)
    metrics = content.entries.add(key="metrics").metric_record
    metrics.entries.add(key="num-examples", integer=1)
    metrics.entries.add(key="loss", double=0.0)


if __name__ == "__main__":
    run_service(main)
