"""Who the gateway is: its authority, its own certificate, and the list of revoked certificates, each kept current."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import structlog

from datalab.audit.log import AuditLog
from datalab.home import Home
from federation.gateway.watched import Watched
from federation.pb import federation_pb2 as pb
from federation.pki.authority import Authority
from federation.pki.crl import build_crl
from federation.pki.keys import Credentials
from federation.pki.local import issue_gateway_certificate, open_authority, open_registry
from federation.pki.members import Revocations
from federation.pki.seal import WELCOME, Sealer
from federation.pki.standing import Standing, read_standing
from federation.wire.sealed import certificate_evidence, welcome_document

log = structlog.get_logger()

SIGNED_ANEW = timedelta(hours=1)
"""How often the list of revoked certificates is signed again, so that nodes see that it is fresh."""


class _Listener:
    """The credentials of one listener: gRPC asks at each handshake, and is answered None if nothing has changed.

    Any other answer has gRPC (1.85) replace what handshakes on other threads may be using, which it does not guard:
    with one at each handshake, some hundred of them crash the process. So it gets one when there is a change only.
    """

    def __init__(self, make: Callable[[], grpc.ServerCertificateConfiguration], *, mutual: bool) -> None:
        self._make = make
        self._fresh: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        self.credentials = grpc.dynamic_ssl_server_credentials(
            make(),
            self._fetch,  # type: ignore[arg-type]  # None means no change, which types-grpcio does not know
            mutual,
        )

    def refresh(self) -> None:
        self._fresh.append(self._make())

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            return self._fresh.pop()
        except IndexError:
            return None


class GatewayIdentity:
    """What the gateway signs and shows.

    The operator's commands change the files below it: ``refresh`` looks at them. New TLS connections are then made with
    the new certificate and the new roots; those that are open stay.

    Args:
        home: of the lab.
        audit: the gateway's audit log, which gets every certificate that is taken into use.

    Attributes:
        credentials: the gateway's own.
        revocations: the certificates that no longer count.
        revoked: their serial numbers.

    Raises:
        DatalabError: there is no authority, or it cannot be opened.
    """

    def __init__(self, home: Home, audit: AuditLog) -> None:
        self._home = home
        self._audit = audit
        self._registry = open_registry(home)
        self._lock = threading.RLock()
        self._standing: Standing | None = None
        self._authority: Authority
        self._revocations_file = Watched(self._registry.revocations_file)
        self.revocations = Revocations()
        self.revoked: frozenset[str] = frozenset()
        self._list = (datetime.min.replace(tzinfo=UTC), pb.RevocationList())
        self._listeners: list[_Listener] = []
        self.refresh()

    @property
    def authority(self) -> Authority:
        """The authority that issues at this moment; a rollover replaces it.

        The listeners go by its roots already, so that whatever it issues is accepted at once.
        """
        with self._lock:
            self._read_authority()
            return self._authority

    @property
    def sealer(self) -> Sealer:
        """Signs as this gateway."""
        return self._sealer

    @property
    def identity(self) -> str:
        """The SPIFFE id of this gateway."""
        return str(self.credentials.holder.identity)

    def refresh(self) -> bool:
        """Look at the files again; return whether the list of revoked certificates has changed.

        Raises:
            DatalabError: they cannot be read.
        """
        with self._lock:
            self._read_authority()
            changed = self._read_revocations()
            now, holder = datetime.now(UTC), self.credentials.holder
            if holder.serial in self.revoked:
                log.error("this gateway's certificate was revoked; taking a new one", serial=holder.serial)
                self._take_certificate()
            elif now > holder.renewal_due:
                self._take_certificate()
        return changed

    def revocation_list(self) -> pb.RevocationList:
        """Return the signed list of revoked certificates."""
        now = datetime.now(UTC)
        if now - self._list[0] > SIGNED_ANEW:
            authority = self.authority
            crl = build_crl(authority, self.revocations, now)
            self._list = (now, pb.RevocationList(crl_der=crl, issuer_pem=authority.issuer_pem))
        return self._list[1]

    def prove(self, welcome: pb.NodeWelcome, node: str, nonce: bytes) -> None:
        """Put into a welcome for ``node`` (a SPIFFE id) the proof that this gateway is not revoked."""
        welcome.time = time.time()
        welcome.revocations.CopyFrom(self.revocation_list())
        if nonce:
            sealer = self._sealer
            welcome.gateway_chain_pem = sealer.credentials.chain_pem
            welcome.signature = sealer.seal(WELCOME, welcome_document(node, nonce))

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials for the listener of members, who must show a certificate; they follow each change."""
        return self._listen(clients=True)

    def enrolment_credentials(self) -> grpc.ServerCredentials:
        """Return credentials for the listener of enrolment, without client certificates; they follow each change."""
        return self._listen(clients=False)

    def _listen(self, *, clients: bool) -> grpc.ServerCredentials:
        listener = _Listener(lambda: self._configuration(clients=clients), mutual=clients)
        self._listeners.append(listener)
        return listener.credentials

    def _configuration(self, *, clients: bool) -> grpc.ServerCertificateConfiguration:
        pair = [(self.credentials.key_pem, self.credentials.chain_pem)]
        return grpc.ssl_server_certificate_configuration(pair, self._authority.trust_bundle_pem if clients else None)

    def _read_authority(self) -> None:
        asked, standing = datetime.now(UTC), read_standing(self._home)
        if standing == self._standing:
            self._authority = replace(self._authority, as_of=asked)
            return
        self._authority = open_authority(self._home)
        self._take_certificate()
        self._standing = standing

    def _take_certificate(self) -> None:
        self.credentials: Credentials = issue_gateway_certificate(self._home)
        self._sealer = Sealer(self.credentials)
        self._list = (datetime.min.replace(tzinfo=UTC), self._list[1])
        for listener in self._listeners:
            listener.refresh()
        evidence = certificate_evidence(self.credentials.holder, self.credentials.chain_pem)
        self._audit.append("certificate taken", **evidence)

    def _read_revocations(self) -> bool:
        if not self._revocations_file.changed():
            return False
        before = self.revocations.number
        self.revocations = self._registry.revocations()
        self.revoked = frozenset(one.serial for one in self.revocations.certificates)
        if before == self.revocations.number:
            return False
        self._list = (datetime.min.replace(tzinfo=UTC), self._list[1])
        return True
