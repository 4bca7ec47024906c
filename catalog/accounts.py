"""Accounts and their bearer tokens, of which only the SHA-256 is kept."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from catalog.errors import ConflictError
from catalog.permissions import Scope
from catalog.records import AccountDraft, IssuedAccount, Role
from catalog.store import Change, Store, now
from datalab.canonical import sha256_hex
from datalab.errors import IdentityError
from datalab.home import Home

SERVICE_ROLES = (Role.OPERATOR, Role.PIPELINE, Role.GATEWAY, Role.COMPUTE, Role.RUNNER)
"""Roles that get an account when the lab starts, its token in the home's secret ``token-<role>``."""
LAB_ORGANISATION = "lab"
_OWN_TOKEN = frozenset({Scope.READ, Scope.WRITE})


@dataclass(frozen=True)
class Bearer:
    """Who holds a token, and what it is good for."""

    account: AccountDraft
    scopes: frozenset[Scope]


class Accounts:
    """The accounts of one lab."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ensure_service_accounts(self, home: Home) -> None:
        """Give each service account the token in the home's secrets, made there if it is missing."""
        known = dict(self._store.rows("SELECT name, token_sha256 FROM accounts"))
        for role in SERVICE_ROLES:
            digest = _digest(home.secret(f"token-{role}"))
            if known.get(role) != digest:
                with self._store.change("lab") as change:
                    draft = AccountDraft(name=role, role=role, organisation=LAB_ORGANISATION)
                    put_account(change, draft, token_sha256=digest)

    def create(self, draft: AccountDraft, *, actor: str) -> IssuedAccount:
        """Make an account with a fresh token of 32 random bytes.

        Raises:
            ConflictError: the name is taken.
        """
        token = secrets.token_urlsafe(32)
        with self._store.change(actor) as change:
            if change.execute("SELECT 1 FROM accounts WHERE name = ?", [draft.name]):
                raise ConflictError(f"The account {draft.name} is there already.", next_step="Choose another name.")
            put_account(change, draft, token_sha256=_digest(token))
        return IssuedAccount(**draft.model_dump(), token=token)

    def every(self) -> list[AccountDraft]:
        """Return all accounts, by name."""
        found = self._store.rows("SELECT record FROM accounts ORDER BY name")
        return [AccountDraft.model_validate_json(row[0]) for row in found]

    def authenticate(self, token: str) -> Bearer:
        """Return whose token this is, and its scopes: of an account's own, or of a personal one that has not expired.

        A service's own token is good for all that the service may do, a person's for all but decisions.

        Raises:
            IdentityError: it is nobody's.
        """
        digest = _digest(token)
        found = self._store.scan("SELECT token_sha256, record, '' FROM accounts WHERE token_sha256 = ?", [digest])
        found = found or self._store.scan(
            "SELECT sha256, record, scopes FROM tokens JOIN accounts ON account = name "
            "WHERE sha256 = ? AND expires > ?",
            [digest, int(now().timestamp())],
        )
        if not found or not hmac.compare_digest(found[0][0], digest):
            raise IdentityError(
                "This token is not known here.",
                next_step="Make one under My account in the lab's pages.",
            )
        account = AccountDraft.model_validate_json(found[0][1])
        if found[0][2]:
            return Bearer(account, frozenset(map(Scope, found[0][2].split())))
        return Bearer(account, frozenset(Scope) if account.name in set(SERVICE_ROLES) else _OWN_TOKEN)


def is_withdrawn(change: Change, name: str) -> bool:
    """Return whether there is nothing left that an account could come in with, nor an invitation."""
    ways = ("credentials", "invitations", "tokens", "identities")
    none = " AND ".join(f"name NOT IN (SELECT account FROM {table})" for table in ways)
    return bool(change.execute(f"SELECT 1 FROM accounts WHERE name = ? AND token_sha256 = '' AND {none}", [name]))


def put_account(change: Change, draft: AccountDraft, *, token_sha256: str) -> None:
    """Write an account, within a change; an empty digest is no token's."""
    values = [draft.name, token_sha256, draft.model_dump_json()]
    change.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", values)
    change.event("account.issued", f"account/{draft.name}", role=draft.role, organisation=draft.organisation)


def _digest(token: str) -> str:
    return sha256_hex(token.encode())
