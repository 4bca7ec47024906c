"""What the gateway signs of its audit log for nodes, and keeps of theirs: neither side can rewrite its past unseen."""

from __future__ import annotations

from typing import Any

import structlog

from datalab.audit.chain import Head
from federation.gateway.identity import GatewayIdentity
from federation.gateway.run import NodeSession
from federation.pb import federation_pb2 as pb
from federation.pki.seal import HEAD, HEAD_SEEN, is_sealed_by
from federation.wire.sealed import Shown, head_document, head_evidence

log = structlog.get_logger()


class Witness:
    """Signs the gateway's heads, and checks those of nodes.

    Args:
        gateway: signs for this gateway.
    """

    def __init__(self, gateway: GatewayIdentity) -> None:
        self._gateway = gateway
        self._shown = Shown()

    def signed(self, at: Head) -> pb.AuditHead:
        """Return where the gateway's log stands, signed by the gateway."""
        head = pb.AuditHead(number=at.n, hash=at.hash)
        head.signature = self._gateway.sealer.seal(HEAD, head_document(self._gateway.identity, head))
        return head

    def countersign(self, receipt: pb.Countersignature, node: NodeSession, head: pb.AuditHead) -> None:
        """Sign that the gateway has been shown a node's head."""
        receipt.head.CopyFrom(head)
        receipt.signature = self._gateway.sealer.seal(HEAD_SEEN, head_document(str(node.identity), head))

    def checked_head(self, node: NodeSession, head: pb.AuditHead, *, again: bool = False) -> dict[str, Any]:
        """Return a node's head for the log.

        ``genuine`` says whether the node has signed it, ``fresh`` that the node's log has moved on since the last one.

        Args:
            node: whose head it is.
            head: the head.
            again: whether nothing need have been written since the last one.
        """
        owner = str(node.identity)
        genuine = is_sealed_by(node.certificate, head.signature, HEAD, head_document(owner, head))
        fresh = genuine and self._shown.moves_on(owner, head, again=again)
        if not fresh:
            log.warning(
                "a node's audit head is not its newest", node=node.identity.name, n=head.number, genuine=genuine
            )
        return head_evidence(head, head.signature, genuine=genuine, owner=owner, fresh=fresh)

    def checked_receipt(self, node: NodeSession, receipt: pb.Countersignature, shown: pb.AuditHead) -> dict[str, Any]:
        """Return a node's signature over a head of the gateway's, for the log."""
        document = head_document(self._gateway.identity, shown)
        genuine = is_sealed_by(node.certificate, receipt.signature, HEAD_SEEN, document)
        return head_evidence(shown, receipt.signature, genuine=genuine, by=str(node.identity))
