"""Keys in an envelope: each thing that is stored has a key of its own, wrapped by the key of whose data it is.

The wrapping keys lie in ``HOME/secrets/holders/``, apart from the object store and from the catalog, which has the
wrapped ones. So a thing is destroyed with its wrapped key, and all of a data holder's things with one file.
"""

from __future__ import annotations

import base64
import secrets

from datalab.home import Home
from datalab.sealing.message import open_message, seal_message
from datalab.sealing.stream import KEY_BYTES, SealBrokenError

FOLDER = "holders"
"""Below ``secrets``."""


class KeyRing:
    """The wrapping keys of one home, each made when first asked for."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def new(self, owner: str, *, context: bytes) -> tuple[bytes, str]:
        """Return a new key for one thing of ``owner``'s: as it is, and wrapped (base64)."""
        key = secrets.token_bytes(KEY_BYTES)
        return key, base64.b64encode(seal_message(key, self._wrapping(owner), context=context)).decode("ascii")

    def unwrap(self, owner: str, wrapped: str, *, context: bytes) -> bytes:
        """Return the key of one thing of ``owner``'s.

        Raises:
            SealBrokenError: the owner's key is gone or another one, or what is wrapped is of another thing.
        """
        # A key that is gone is not made anew: that would hide its loss.
        if not (self._home.path / "secrets" / FOLDER / owner).is_file():
            raise SealBrokenError
        return open_message(base64.b64decode(wrapped), self._wrapping(owner), context=context)

    def _wrapping(self, owner: str) -> bytes:
        return base64.urlsafe_b64decode(self._home.secret(f"{FOLDER}/{owner}") + "=")
