"""What is signed of the frames that two sides must later be able to prove to each other, as JSON documents.

Protobuf's bytes are no canonical form, so what is sealed is written out here, field by field.
"""

from __future__ import annotations

from typing import Any

from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2
from federation.pki.identity import Holder


def offer_document(offer: pb.Offer, node: str) -> dict[str, Any]:
    """Return what a runner signs of an offer to ``node``: everything but the lab's audit head."""
    return {
        "run": offer.run_id,
        "node": node,
        "app": offer.app_sha256.hex(),
        "dataset": offer.dataset,
        "version": offer.dataset_version,
        "permit": offer.permit,
        "purpose": offer.purpose,
        "seed": str(offer.seed),
        "config": _config(offer.config),
    }


def head_document(owner: str, head: pb.AuditHead) -> dict[str, Any]:
    """Return what is signed of an audit head; ``owner`` is the SPIFFE id of the member whose log it is."""
    return {"owner": owner, "n": head.number, "hash": head.hash}


class Shown:
    """The newest head that each member has shown of its audit log, since this process has started."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, str]] = {}

    def moves_on(self, owner: str, head: pb.AuditHead, *, again: bool = False) -> bool:
        """Whether a head that ``owner`` has signed is newer than what it has shown before.

        One that is not would leave what its owner has written since without a witness.

        Args:
            owner: a SPIFFE id.
            head: the head.
            again: whether it may also be the very one that was shown last.
        """
        before, now = self._newest.get(owner), (head.number, head.hash)
        if before is None or now[0] > before[0]:
            self._newest[owner] = now
            return True
        return again and now == before


def head_evidence(
    head: pb.AuditHead, signature: bytes, *, genuine: bool, fresh: bool | None = None, **member: str
) -> dict[str, Any]:
    """Return a signed head as either side's audit log keeps it.

    Args:
        head: the head.
        signature: over it, by its owner or by whoever was shown it.
        genuine: whether the signature is what it should be.
        fresh: whether the head is newer than the last one that its owner has shown, where that was looked at.
        member: ``owner`` of the head, or ``by`` whom it is countersigned: a SPIFFE id.
    """
    return {
        "n": head.number,
        "hash": head.hash[:64],
        **member,
        "genuine": genuine,
        **({} if fresh is None else {"fresh": fresh}),
        "signature": signature[:128].hex(),
    }


def certificate_evidence(holder: Holder, chain_pem: bytes) -> dict[str, Any]:
    """Return a certificate, with its chain, as either side's audit log keeps it: heads are signed with its key."""
    return {"member": str(holder.identity), "serial": holder.serial, "chain": chain_pem.decode("ascii")}


def welcome_document(node: str, nonce: bytes) -> dict[str, Any]:
    """Return what a gateway signs in its welcome to the node with the SPIFFE id ``node``."""
    return {"node": node, "nonce": nonce.hex()}


def _config(config: records_pb2.ConfigRecord) -> list[list[Any]]:
    """Return each setting as its name, its type on the wire, and its value with numbers and bytes as text."""
    settings: list[list[Any]] = []
    for entry in config.entries:
        kind = entry.WhichOneof("value") or ""
        value = getattr(entry, kind) if kind else None
        settings.append([entry.key, kind, _text(value)])
    return settings


def _text(value: Any) -> Any:
    match value:
        case bool() | str() | None:
            return value
        case float():
            return value.hex()
        case int():
            return str(value)
        case bytes():
            return value.hex()
        case _:
            return [_text(one) for one in value.values]


def same_offer(known: pb.Offer, offer: pb.Offer) -> bool:
    """Whether two offers ask for the same; between them the lab's audit head moves on, and the runner renews."""
    pair = pb.Offer(), pb.Offer()
    for one, said in zip(pair, (known, offer), strict=True):
        one.CopyFrom(said)
        for moving in ("audit_head", "runner_signature", "runner_chain_pem"):
            one.ClearField(moving)
    return bool(pair[0] == pair[1])
