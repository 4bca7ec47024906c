"""What a node knows of its gateway beyond TLS: that it proves itself, and which certificates are revoked."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from datalab.errors import IdentityError, RefusedError
from datalab.home import write_atomically
from federation.pb import federation_pb2 as pb
from federation.pki.crl import RevocationList, check_crl
from federation.pki.identity import Holder, Role
from federation.pki.keys import Credentials
from federation.pki.seal import WELCOME, check_seal
from federation.wire.protocol import check_version
from federation.wire.sealed import welcome_document

log = structlog.get_logger()

LIST_FILE = "revocations.pb"
NONCE_BYTES = 32
SKEW_NOTED, SKEW_TOLERATED = timedelta(minutes=2), timedelta(minutes=5)
"""Beyond the first, a difference between the clocks is mentioned; certificates are backdated by the second."""


class UntrustedError(IdentityError):
    """Whoever answered is no gateway of this federation, or no longer one."""


class GatewayTrust:
    """Checks welcomes and keeps the list of revoked certificates.

    A gateway of protocol 1.0 proves nothing. It is accepted as long as no gateway has ever shown this node a list of
    revoked certificates; from then on, one that does not prove itself is refused.

    Args:
        folder: of the node's identity; keeps the list.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / LIST_FILE
        self.revocations: RevocationList | None = None
        self.gateway_serial = ""
        self.gateway_chain = b""
        self.gateway = ""
        self.skew = timedelta(0)

    def load(self, credentials: Credentials) -> None:
        """Read the list that was kept; raises UntrustedError if the file was changed."""
        if self.revocations is None and self._file.exists():
            self.revocations = self._checked(pb.RevocationList.FromString(self._file.read_bytes()), credentials)

    @property
    def revoked(self) -> frozenset[str]:
        """Serial numbers of revoked certificates, as far as this node knows."""
        return frozenset() if self.revocations is None else self.revocations.serials

    def nonce(self) -> bytes:
        """Return what the next gateway has to sign."""
        return os.urandom(NONCE_BYTES)

    def check_welcome(self, welcome: pb.NodeWelcome, nonce: bytes, credentials: Credentials) -> None:
        """Accept a gateway's welcome, and the list in it.

        Raises:
            VersionError: it speaks another protocol.
            UntrustedError: it does not prove itself, is revoked, or its list is older than the one known here.
        """
        check_version(welcome.protocol_major, welcome.protocol_minor, peer="gateway")
        if welcome.time:
            self.note_clock(datetime.fromtimestamp(welcome.time, UTC))
        self.gateway_serial = ""  # whoever was connected before may be on the list that comes now
        if welcome.HasField("revocations"):
            self.take_list(welcome.revocations, credentials)
        if not welcome.signature and self.revocations is None:
            return
        node = str(credentials.holder.identity)
        try:
            holder = check_seal(
                welcome.signature,
                WELCOME,
                welcome_document(node, nonce),
                chain_pem=welcome.gateway_chain_pem,
                trust_pem=credentials.trust_pem,
                role=Role.GATEWAY,
                now=datetime.now(UTC),
                revoked=self.revoked,
            )
        except IdentityError as error:
            raise UntrustedError(
                f"The gateway does not prove that it is one: {error.what}", next_step="Tell the federation's operator."
            ) from error
        self.gateway, self.gateway_serial = str(holder.identity), holder.serial
        self.gateway_chain = welcome.gateway_chain_pem

    def take_list(self, message: pb.RevocationList, credentials: Credentials) -> None:
        """Keep a new list of revoked certificates.

        Raises:
            UntrustedError: it is not signed by the federation's authority, or is older than the one known here; or the
                gateway that is connected is on it.
        """
        new = self._checked(message, credentials)
        if self.revocations is not None and not new.replaces(self.revocations):
            raise UntrustedError(
                f"The gateway shows a list of revoked certificates (number {new.number}) that is older than the one "
                f"known here (number {self.revocations.number}).",
                next_step="Tell the federation's operator: an old list would bring revoked certificates back.",
            )
        self.revocations = new
        write_atomically(self._file, message.SerializeToString())
        if self.gateway_serial in new.serials:
            raise UntrustedError("The certificate of the gateway has been revoked.")

    def note_clock(self, gateway: datetime) -> None:
        """Compare the gateway's clock with this machine's, and say so where they differ by minutes."""
        now = datetime.now(UTC)
        self.skew = now - gateway
        if abs(self.skew) > SKEW_NOTED:
            log.warning(
                "this machine's clock differs from the gateway's",
                certificates_may_be_refused=abs(self.skew) > SKEW_TOLERATED,
                here=now.isoformat(timespec="seconds"),
                gateway=gateway.isoformat(timespec="seconds"),
                next_step="Set this machine's clock (NTP).",
            )

    def _checked(self, message: pb.RevocationList, credentials: Credentials) -> RevocationList:
        try:
            return check_crl(message.crl_der, message.issuer_pem, credentials.trust_pem, now=datetime.now(UTC))
        except IdentityError as error:
            raise UntrustedError(error.what, next_step=error.next_step) from error


def check_runner_current(runner: Holder, now: datetime) -> None:
    """Raise RefusedError if a runner's certificate has expired, by more than clocks may differ."""
    if runner.expires + SKEW_TOLERATED < now:
        raise RefusedError(
            f"The certificate of {runner.identity} expired at {runner.expires:%Y-%m-%d %H:%M} UTC.",
            next_step="The run ends here; the lab can start it again.",
        )
