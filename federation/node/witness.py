"""What a node signs of its audit log for the lab, and keeps of the lab's: neither can rewrite its past unseen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from datalab.audit.log import AuditLog
from datalab.errors import IdentityError
from datalab.lean import structlog
from federation.node.trust import GatewayTrust
from federation.pb import federation_pb2 as pb
from federation.pki.identity import Role, holder_from_pem
from federation.pki.keys import Credentials
from federation.pki.seal import HEAD, HEAD_SEEN, Sealer, check_seal
from federation.wire.sealed import Shown, certificate_evidence, head_document, head_evidence

log = structlog.get_logger()


class Witness:
    """Signs and checks heads of audit logs.

    Args:
        audit: the node's own audit log.
        trust: what is known of the gateway, whose log is the lab's.
        credentials: returns the node's present credentials.
    """

    def __init__(self, audit: AuditLog, trust: GatewayTrust, credentials: Callable[[], Credentials]) -> None:
        self._audit = audit
        self._trust = trust
        self._credentials = credentials
        self._noted: set[str] = set()
        self._shown = Shown()

    def note_certificates(self, own: Credentials) -> None:
        """Write down with which certificates this node and the gateway sign, once each: an auditor checks with them."""
        self._note("certificate taken", own.chain_pem)
        if self._trust.gateway_chain:
            self._note("certificate seen", self._trust.gateway_chain)

    def signed_head(self) -> pb.AuditHead:
        """Return where this node's log stands, signed by the node."""
        at = self._audit.head()
        head = pb.AuditHead(number=at.n, hash=at.hash)
        head.signature = Sealer(self._credentials()).seal(HEAD, head_document(self._owner(), head))
        return head

    def countersign(self, receipt: pb.Countersignature, head: pb.AuditHead) -> None:
        """Sign that this node has been shown the lab's head."""
        if head.hash and self._trust.gateway:
            receipt.head.CopyFrom(head)
            receipt.signature = Sealer(self._credentials()).seal(HEAD_SEEN, head_document(self._trust.gateway, head))

    def checked_head(self, head: pb.AuditHead, *, again: bool = False) -> dict[str, Any]:
        """Return the lab's head for this node's log.

        ``genuine`` says whether the gateway has signed it, ``fresh`` that its log has moved on since the last one.

        Args:
            head: the head.
            again: whether nothing need have been written since the last one.
        """
        owner = self._trust.gateway
        genuine = self._by_gateway(head.signature, HEAD, head_document(owner, head))
        fresh = genuine and self._shown.moves_on(owner, head, again=again)
        if not fresh:
            log.warning("the lab's audit head is not its newest", n=head.number, genuine=genuine)
        return head_evidence(head, head.signature, genuine=genuine, owner=owner, fresh=fresh)

    def checked_receipt(self, receipt: pb.Countersignature) -> dict[str, Any]:
        """Return the lab's signature over a head of this node, for this node's log."""
        genuine = self._by_gateway(receipt.signature, HEAD_SEEN, head_document(self._owner(), receipt.head))
        return head_evidence(receipt.head, receipt.signature, genuine=genuine, by=self._trust.gateway)

    def _note(self, event: str, chain_pem: bytes) -> None:
        holder = holder_from_pem(chain_pem)
        if holder.serial not in self._noted:
            self._noted.add(holder.serial)
            self._audit.append(event, **certificate_evidence(holder, chain_pem))

    def _owner(self) -> str:
        return str(self._credentials().holder.identity)

    def _by_gateway(self, signature: bytes, context: str, document: dict[str, Any]) -> bool:
        try:
            check_seal(
                signature,
                context,
                document,
                chain_pem=self._trust.gateway_chain,
                trust_pem=self._credentials().trust_pem,
                role=Role.GATEWAY,
                now=datetime.now(UTC),
                revoked=self._trust.revoked,
            )
        except IdentityError:
            return False
        return True
