"""The latest signed list of revoked permits of each key, a file each: for a lab's gateway, and for a node to go by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from datalab.home import write_atomically
from datalab.permits.errors import PermitError, Reason
from datalab.permits.keys import key_id
from datalab.permits.revocation import RevocationList, verify_revocations
from datalab.permits.signature import MAX_TOKEN_BYTES

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

FOLDER = "permit-revocations"
"""Below a lab's home, and below a node's."""
MAX_LISTS = 100


def signer_of(token: str, keys: Sequence[OKPKey], *, now: datetime | None) -> tuple[str, RevocationList]:
    """Return the id of the key among ``keys`` that signed a list, and the list, however old it is.

    Raises:
        PermitError: none of them did, it is malformed, or it is from the future of ``now``, where that is given.
    """
    for key in keys:
        try:
            return key_id(key), verify_revocations(token, [key], now=now)
        except PermitError as error:
            if error.reason is not Reason.UNKNOWN_KEY:
                raise
    raise PermitError(
        Reason.UNKNOWN_KEY,
        "The list of revoked permits is not signed by a key that is pinned here.",
        next_step="Sign it with the key that signs the permits.",
    )


class RevocationFiles:
    """Keeps lists below ``folder``, which is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tokens(self) -> tuple[str, ...]:
        """Return the lists as they were signed, in the order of their keys' ids; at most ``MAX_LISTS``."""
        return tuple(_read(path) for path in sorted(self.folder.glob("*.jws"))[:MAX_LISTS])

    def put(self, signer: str, token: str) -> None:
        """Put a list, which the caller has verified, in the place of the one that its key signed before."""
        write_atomically(self._path(signer), token.encode("ascii"), mode=0o644)

    def take(self, token: str, keys: Sequence[OKPKey], *, now: datetime) -> tuple[str, RevocationList, bool]:
        """Keep a list that somebody has sent, if one of ``keys`` has signed it later than the one that is kept.

        Returns:
            The key's id, the list, and whether it is kept now: not where the one that was is as new.

        Raises:
            PermitError: none of the keys signed it, it is malformed, or it is from the future.
        """
        signer, found = signer_of(token, keys, now=now)
        kept = self._kept(signer, keys)
        if kept is not None and kept.issued >= found.issued:
            return signer, found, False
        self.put(signer, token)
        return signer, found, True

    def _kept(self, signer: str, keys: Sequence[OKPKey]) -> RevocationList | None:
        """Return the list that a key has signed before; None where there is none.

        One that seems to be from the future counts: this machine's clock was set back, and an earlier list may not
        name what that one revokes.
        """
        try:
            return signer_of(_read(self._path(signer)), [one for one in keys if key_id(one) == signer], now=None)[1]
        except (FileNotFoundError, PermitError):
            return None

    def _path(self, signer: str) -> Path:
        return self.folder / f"{signer}.jws"


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_TOKEN_BYTES + 1).decode("ascii", errors="replace")
