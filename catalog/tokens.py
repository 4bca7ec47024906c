"""Personal API tokens: a person's own, named, expiring, shown once; only their SHA-256 is kept."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from catalog.permissions import Scope
from catalog.records import AccountDraft, PersonalToken
from catalog.store import Store, now
from datalab.canonical import sha256_hex
from datalab.errors import NotFoundError

LONGEST_DAYS = 365


class Tokens:
    """The personal API tokens of one lab."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def issue(
        self, account: AccountDraft, label: str, *, days: int, scopes: Collection[Scope] = (Scope.READ,)
    ) -> tuple[PersonalToken, str]:
        """Make a token that holds for ``days``; return its record, and the token itself for the only time.

        Whether whoever asks may grant ``scopes`` is for the caller to know: ``decide`` needs a second factor.
        """
        token, moment = f"datalab_{secrets.token_urlsafe(32)}", now().replace(microsecond=0)
        made = PersonalToken(
            id=uuid.uuid4().hex,
            account=account.name,
            label=label,
            created=moment,
            expires=moment + timedelta(days=days),
            scopes=tuple(scope.value for scope in Scope if scope in scopes),
        )
        values = [made.id, sha256_hex(token.encode()), made.account, label]
        with self._store.change(account.name) as change:
            change.execute(
                "INSERT INTO tokens (id, sha256, account, label, created, expires, scopes) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [*values, int(made.created.timestamp()), int(made.expires.timestamp()), " ".join(made.scopes)],
            )
            details = {"token": made.id, "expires": made.expires.isoformat(), "scopes": list(made.scopes)}
            change.event("token.issued", f"account/{account.name}", **details)
        return made, token

    def of(self, account: AccountDraft) -> list[PersonalToken]:
        """Return the tokens of an account, expired ones too, the newest first."""
        found = self._store.rows(
            "SELECT id, account, label, created, expires, scopes FROM tokens WHERE account = ? "
            "ORDER BY created DESC, id",
            [account.name],
        )
        return [
            PersonalToken(
                id=key, account=name, label=label, created=_time(created), expires=_time(expires), scopes=scopes.split()
            )
            for key, name, label, created, expires, scopes in found
        ]

    def revoke(self, account: AccountDraft, key: str) -> None:
        """Remove a token of an account at once; NotFoundError if it has none with this id."""
        with self._store.change(account.name) as change:
            query = "DELETE FROM tokens WHERE id = ? AND account = ? RETURNING id"
            if not change.execute(query, [key, account.name]):
                raise NotFoundError("You have no such token.", next_step="See the list of your tokens.")
            change.event("token.revoked", f"account/{account.name}", token=key)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
