"""How people prove who they are: a password (argon2id, RFC 9106) and, for decisions, a one-time code (RFC 6238)."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from cryptography.fernet import Fernet

from catalog.accounts import SERVICE_ROLES, put_account
from catalog.attempts import Attempts
from catalog.errors import ConflictError
from catalog.records import AccountDraft, Invitation
from catalog.sessions import close_all
from catalog.store import Store, now
from datalab.canonical import sha256_hex
from datalab.errors import BadInputError, IdentityError, NotFoundError

INVITATION = timedelta(days=3)
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200
_STEP = 30
"""Seconds that a one-time code stands for; the one before and the one after are accepted too."""


class Credentials:
    """Invitations, passwords and second factors of one lab's people.

    Args:
        store: the catalog's records.
        key: secret of this installation that the shared secrets of second factors are encrypted with.
        attempts: file in which attempts are counted, or None to forget them.
    """

    def __init__(self, store: Store, key: str, attempts: Path | None = None) -> None:
        self._store = store
        self._box = Fernet(key + "=")
        self._hasher = PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))
        self._hashing = threading.BoundedSemaphore(2)  # 64 MiB each: a flood of attempts waits
        self._attempts = Attempts(file=attempts)

    def invite(self, draft: AccountDraft, *, actor: str) -> Invitation:
        """Give a person's account a one-time code with which to choose a password; make the account if it is new.

        Raises:
            ConflictError: the account is there and is not as ``draft`` says, or is a service's.
        """
        if draft.name in set(SERVICE_ROLES):
            raise ConflictError(
                f"{draft.name} is a service's account, which has no password.", next_step="Choose another name."
            )
        code, expires = secrets.token_urlsafe(24), now() + INVITATION
        with self._store.change(actor) as change:
            known = change.execute("SELECT record FROM accounts WHERE name = ?", [draft.name])
            if not known:
                put_account(change, draft, token_sha256="")
            elif AccountDraft.model_validate_json(known[0][0]) != draft:
                raise ConflictError(
                    f"The account {draft.name} is there already, with another role or organisation.",
                    next_step="Choose another name.",
                )
            values = [draft.name, sha256_hex(code.encode()), int(expires.timestamp())]
            change.execute("INSERT OR REPLACE INTO invitations VALUES (?, ?, ?)", values)
            change.event("account.invited", f"account/{draft.name}", expires=expires.isoformat())
        return Invitation(**draft.model_dump(), code=code, expires=expires)

    def accept(self, code: str, password: str) -> str:
        """Set the password of the account that was given ``code``, and return its name.

        The code is used up; all that the account could be come into with before is gone: sessions, tokens, the second
        factor and the identity that was linked. Whoever had made one of them in its owner's place stays outside.

        Raises:
            IdentityError: the code is not known, used, or too old.
            BadInputError: the password is too short or too long, or contains the account's name.
        """
        digest = sha256_hex(code.strip().encode())
        found = self._store.rows("SELECT account, expires FROM invitations WHERE code_sha256 = ?", [digest])
        if not found or found[0][1] <= now().timestamp():
            raise IdentityError(
                "This code is not known here, was used before, or is too old.",
                next_step="Ask the lab's operator for a new one.",
            )
        account = str(found[0][0])
        check_password_rules(account, password)
        with self._hashing:
            hashed = self._hasher.hash(password)
        with self._store.change(account) as change:
            if not change.execute("DELETE FROM invitations WHERE code_sha256 = ? RETURNING account", [digest]):
                raise IdentityError("This code was used before.", next_step="Ask the lab's operator for a new one.")
            change.execute("INSERT OR REPLACE INTO credentials VALUES (?, ?, NULL, 0)", [account, hashed])
            close_all(change, account)
            for table in ("tokens", "identities"):
                change.execute(f"DELETE FROM {table} WHERE account = ?", [account])
            change.event("account.password-set", f"account/{account}")
        return account

    def withdraw(self, account: str, *, actor: str) -> None:
        """Take everything from an account that it could come in with; an invitation opens it again.

        Raises:
            NotFoundError: there is no such account.
            ConflictError: it is a service's, or the actor's own.
        """
        if account in {*SERVICE_ROLES, actor}:
            raise ConflictError(
                f"The account {account} cannot be withdrawn: it is a service's, or your own.",
                next_step="Ask another operator.",
            )
        with self._store.change(actor) as change:
            if not change.execute("UPDATE accounts SET token_sha256 = '' WHERE name = ? RETURNING name", [account]):
                raise NotFoundError(f"There is no account {account}.", next_step="See the list of accounts.")
            for table in ("credentials", "invitations", "tokens", "sessions", "identities"):
                change.execute(f"DELETE FROM {table} WHERE account = ?", [account])
            change.event("account.withdrawn", f"account/{account}")

    def check_password(self, account: str, password: str, *, address: str) -> None:
        """Check a password that came from ``address``; an unknown account takes as long as a wrong password.

        Raises:
            IdentityError: account and password do not belong together.
            TooManyAttemptsError: there were too many failures; the account is locked for a while.
        """
        last = self._attempts.begin(account, address)
        found = self._store.rows("SELECT password FROM credentials WHERE account = ?", [account])
        with self._hashing:
            right = _verifies(self._hasher, found[0][0] if found else self._nobody, password) and bool(found)
        if not right:
            if last and found:
                with self._store.change("lab") as change:
                    change.event("account.locked", f"account/{account}", attempts="password")
            raise IdentityError("Name and password do not belong together.", next_step="Type them again.")
        self._attempts.succeeded(account, address)

    def has_second_factor(self, account: str) -> bool:
        """Return whether the account has a second factor."""
        found = self._store.rows("SELECT totp FROM credentials WHERE account = ?", [account])
        return bool(found and found[0][0])

    def set_second_factor(self, account: str, secret: str, code: str) -> None:
        """Make ``secret`` (32 characters, base32) the account's second factor, if ``code`` shows that it is in use.

        Raises:
            ConflictError: the account has one already.
            IdentityError: the code is not the secret's.
        """
        step = _step_of(secret, code, after=0)
        if step is None:
            raise _wrong_code()
        with self._store.change(account) as change:
            if change.execute("SELECT 1 FROM credentials WHERE account = ? AND totp IS NOT NULL", [account]):
                raise ConflictError(
                    "This account has a second factor already.",
                    next_step="If you have lost it, ask the lab's operator for a new invitation.",
                )
            values = [self._box.encrypt(secret.encode()).decode(), step, account]
            change.execute("UPDATE credentials SET totp = ?, totp_step = ? WHERE account = ?", values)
            change.event("account.second-factor-set", f"account/{account}")

    def check_code(self, account: str, code: str, *, address: str) -> None:
        """Check a one-time code; each is accepted once.

        Raises:
            IdentityError: it is not the account's code now, or was used before.
            TooManyAttemptsError: there were too many failures.
        """
        last = self._attempts.begin(f"{account} code", address)
        with self._store.change(account) as change:
            found = change.execute("SELECT totp, totp_step FROM credentials WHERE account = ?", [account])
            step = None
            if found and found[0][0]:
                secret = self._box.decrypt(found[0][0].encode()).decode()
                step = _step_of(secret, code, after=found[0][1])
            if step is None:
                if last:
                    change.event("account.locked", f"account/{account}", attempts="code")
                else:
                    change.event("account.code-refused", f"account/{account}")
            else:
                change.execute("UPDATE credentials SET totp_step = ? WHERE account = ?", [step, account])
                change.event("account.code-accepted", f"account/{account}")
        if step is None:
            raise _wrong_code()
        self._attempts.succeeded(f"{account} code", address)


def check_password_rules(account: str, password: str) -> None:
    """Raise BadInputError unless a password may be chosen for ``account``."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD or account in password.lower():
        raise BadInputError(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters and does not contain the account's "
            "name.",
            next_step="Choose another one; a few unrelated words are good.",
        )


def new_secret() -> str:
    """Return a random secret for a second factor: 160 bits, in base32."""
    return pyotp.random_base32()


def _verifies(hasher: PasswordHasher, hashed: str, password: str) -> bool:
    try:
        return hasher.verify(hashed, password)
    except VerifyMismatchError:
        return False


def _step_of(secret: str, code: str, *, after: int) -> int | None:
    """Return the time step that ``code`` stands for, if that is about now and later than ``after``."""
    present = int(time.time()) // _STEP
    totp = pyotp.TOTP(secret)
    for step in (present - 1, present, present + 1):
        expected = totp.at(datetime.fromtimestamp(step * _STEP, UTC))
        if step > after and hmac.compare_digest(expected.encode(), "".join(code.split()).encode()):
            return step
    return None


def _wrong_code() -> IdentityError:
    return IdentityError(
        "This is not the code that your authenticator shows now, or it was used before.",
        next_step="Wait for the next one.",
    )
