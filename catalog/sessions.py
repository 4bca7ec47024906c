"""Who is signed in with a browser. A session is a random id, of which only the SHA-256 is kept; it ends by itself."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from catalog.records import AccountDraft
from catalog.store import Change, Store, now
from datalab.canonical import sha256_hex

LIFETIME = timedelta(hours=12)


@dataclass(frozen=True)
class Session:
    """A session that has not ended.

    Attributes:
        id: what the browser holds.
        account: whose it is, as the account is now.
        expires: when it ends.
        complete: False where the password was right and the code of the second factor is still to come.
        second_factor: whether the code was given; decisions need it.
    """

    id: str
    account: AccountDraft
    expires: datetime
    complete: bool
    second_factor: bool


class Sessions:
    """The sessions of one lab."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(self, account: str, *, complete: bool, second_factor: bool, instead_of: str | None = None) -> str:
        """Start a session and return its id, which is new even where it goes on from another."""
        made, moment = secrets.token_urlsafe(32), now()
        with self._store.change(account) as change:
            change.execute("DELETE FROM sessions WHERE expires <= ?", [int(moment.timestamp())])
            if instead_of is not None:
                change.execute("DELETE FROM sessions WHERE id_sha256 = ?", [_digest(instead_of)])
            values = [_digest(made), account, int((moment + LIFETIME).timestamp()), complete, second_factor]
            change.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", values)
            change.event("account.signed-in", f"account/{account}", complete=complete, second_factor=second_factor)
        return made

    def find(self, key: str) -> Session | None:
        """Return the session with this id, or None if there is none or it has ended."""
        found = self._store.scan(
            "SELECT record, expires, complete, second_factor FROM sessions JOIN accounts ON account = name "
            "WHERE id_sha256 = ? AND expires > ?",
            [_digest(key), int(now().timestamp())],
        )
        if not found:
            return None
        record, expires, complete, second_factor = found[0]
        account = AccountDraft.model_validate_json(record)
        return Session(key, account, datetime.fromtimestamp(expires, UTC), complete, second_factor)

    def close(self, session: Session) -> None:
        """End a session."""
        with self._store.change(session.account.name) as change:
            change.execute("DELETE FROM sessions WHERE id_sha256 = ?", [_digest(session.id)])
            change.event("account.signed-out", f"account/{session.account.name}")


def close_all(change: Change, account: str) -> None:
    """End every session of an account, within a change that has its own event."""
    change.execute("DELETE FROM sessions WHERE account = ?", [account])


def _digest(key: str) -> str:
    return sha256_hex(key.encode())
