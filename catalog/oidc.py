"""Signing in at an OpenID provider (OpenID Connect Core 1.0, authorization code with PKCE).

The provider says who somebody is; which account that is, its owner has said beforehand by linking the two. An identity
that is linked to no account opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import httpx
from authlib.deprecate import AuthlibDeprecationWarning
from authlib.integrations.base_client.errors import OAuthError
from cryptography.fernet import Fernet, InvalidToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, ValidationError

from catalog.errors import ConflictError
from catalog.store import Store
from datalab.errors import IdentityError, NotFoundError, ServiceFailedError
from datalab.settings import OpenIdProvider

with warnings.catch_warnings():  # that it moves from httpx to httpx2 is its own affair
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import OAuth2Client

PATIENCE = 600
"""Seconds that somebody may take at the provider."""
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_MAX_ANSWERED = 10_000
_TIMEOUT = 10.0
_PASSWORD = "SELECT password FROM credentials WHERE account = ?"  # noqa: S105  # a query


class Pending(BaseModel):
    """Somebody who was sent to the provider; ``account`` is whose identity is to be linked, or None to sign in.

    ``password`` is a digest of what was kept of that account's password: once it is another one, or the account is
    withdrawn, what was begun before counts no more.

    Their browser keeps it, sealed: the lab remembers nothing of sign-ins that are only begun, however many there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: str
    verifier: str
    nonce: str
    goal: str
    account: str | None
    password: str = ""


@dataclass(frozen=True)
class Proven:
    """Whom the provider has sent back."""

    subject: str
    second_factor: bool
    pending: Pending


class _Endpoints(BaseModel):
    """What the provider says of itself (OpenID Connect Discovery 1.0)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class Oidc:
    """The provider that one lab trusts.

    Args:
        store: the catalog's records.
        provider: its settings.
        secret: the lab's own at the provider; empty for a public client.
        key: secret of this installation that seals what browsers keep.
    """

    def __init__(self, store: Store, provider: OpenIdProvider, secret: str, key: str) -> None:
        self.provider = provider
        self._store = store
        self._secret = secret
        self._box = Fernet(key + "=")
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, redirect: str, *, goal: str, account: str | None = None) -> tuple[str, str]:
        """Return the address at the provider to send somebody to, and what their browser has to keep meanwhile.

        Raises:
            ServiceFailedError: the provider does not answer as it should.
        """
        pending = Pending(
            state=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            nonce=secrets.token_urlsafe(32),
            goal=goal,
            account=account,
            password="" if account is None else _digest(self._store.rows(_PASSWORD, [account])),
        )
        with self._client(redirect) as client:
            address, _ = client.create_authorization_url(
                self._endpoints(client).authorization_endpoint,
                state=pending.state,
                nonce=pending.nonce,
                code_verifier=pending.verifier,
            )
        return str(address), self._box.encrypt(pending.model_dump_json().encode()).decode()

    def finish(self, redirect: str, *, kept: str, state: str, code: str) -> Proven:
        """Return who came back with a code; a state counts once.

        Args:
            redirect: where the provider sent them.
            kept: what their browser has kept since ``begin``.
            state: as the provider sent it back.
            code: from the provider.

        Raises:
            IdentityError: this browser was not sent there with this state, or not lately; or the provider vouches for
                nobody.
            ServiceFailedError: the provider does not answer as it should.
        """
        pending = self._opened(kept, state)
        with self._client(redirect) as client:
            endpoints = self._endpoints(client)
            try:
                token = client.fetch_token(endpoints.token_endpoint, code=code, code_verifier=pending.verifier)
            except (httpx.HTTPError, OAuthError) as error:
                raise IdentityError(
                    "The identity provider does not take this code.", next_step="Begin again."
                ) from error
            claims = self._claims(str(token.get("id_token", "")), self._json(client, endpoints.jwks_uri), pending)
        amr = claims.get("amr")
        strong = isinstance(amr, list) and not set(self.provider.amr).isdisjoint(map(str, amr))
        return Proven(str(claims["sub"]), strong or claims.get("acr") in self.provider.acr, pending)

    def _opened(self, kept: str, state: str) -> Pending:
        unknown = IdentityError("This sign-in is not known here, or took too long.", next_step="Begin again.")
        try:
            pending = Pending.model_validate_json(self._box.decrypt(kept.encode(), ttl=PATIENCE))
        except (InvalidToken, ValidationError) as error:
            raise unknown from error
        with self._lock:
            if not hmac.compare_digest(pending.state.encode(), state.encode()) or state in self._answered:
                raise unknown
            self._answered[state] = None
            while len(self._answered) > _MAX_ANSWERED:  # the provider takes the code of an older one no more either
                self._answered.popitem(last=False)
        return pending

    def account_of(self, subject: str) -> str | None:
        """Return the account that an identity is linked to, or None."""
        query = "SELECT account FROM identities WHERE issuer = ? AND subject = ?"
        found = self._store.rows(query, [self.provider.issuer, subject])
        return str(found[0][0]) if found else None

    def is_linked(self, account: str) -> bool:
        """Return whether an account has an identity at the provider."""
        query = "SELECT 1 FROM identities WHERE issuer = ? AND account = ?"
        return bool(self._store.rows(query, [self.provider.issuer, account]))

    def link(self, proven: Proven) -> None:
        """Link an identity to the account whose owner went to the provider for it.

        Raises:
            IdentityError: the account was withdrawn meanwhile, or has another password.
            ConflictError: the identity is another account's.
        """
        account, subject = proven.pending.account, proven.subject
        assert account is not None
        with self._store.change(account) as change:
            now = _digest(change.execute(_PASSWORD, [account]))
            if not now or now != proven.pending.password:
                raise IdentityError("The account has changed meanwhile.", next_step="Begin again.")
            query = "SELECT account FROM identities WHERE issuer = ? AND subject = ?"
            known = change.execute(query, [self.provider.issuer, subject])
            if known and known[0][0] != account:
                raise ConflictError("This identity is linked to another account.", next_step="Unlink it there first.")
            change.execute("DELETE FROM identities WHERE issuer = ? AND account = ?", [self.provider.issuer, account])
            change.execute("INSERT INTO identities VALUES (?, ?, ?)", [self.provider.issuer, subject, account])
            change.event("account.linked", f"account/{account}", issuer=self.provider.issuer)

    def unlink(self, account: str) -> None:
        """Take the link of an account away; NotFoundError if it has none."""
        with self._store.change(account) as change:
            query = "DELETE FROM identities WHERE issuer = ? AND account = ? RETURNING account"
            if not change.execute(query, [self.provider.issuer, account]):
                raise NotFoundError("This account is linked to no identity.")
            change.event("account.unlinked", f"account/{account}", issuer=self.provider.issuer)

    def _client(self, redirect: str) -> OAuth2Client:
        return OAuth2Client(
            self.provider.client_id,
            self._secret or None,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            scope="openid",
            redirect_uri=redirect,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
            trust_env=False,
        )

    def _endpoints(self, client: OAuth2Client) -> _Endpoints:
        issuer = self.provider.issuer
        try:
            found = _Endpoints.model_validate(
                self._json(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            )
        except ValidationError as error:
            raise _failed(issuer) from error
        if found.issuer != issuer:
            raise _failed(issuer)
        return found

    def _json(self, client: OAuth2Client, address: str) -> Any:
        try:
            answer = client.request("GET", address, withhold_token=True)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise _failed(address) from error

    def _claims(self, token: str, keys: Any, pending: Pending) -> dict[str, Any]:
        """Return what an ID token says, if the provider signed it, for this lab, just now, for this sign-in."""
        expected = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self.provider.issuer},
            aud={"essential": True, "value": self.provider.client_id},
            nonce={"essential": True, "value": pending.nonce},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            found = jwt.decode(token, KeySet.import_key_set(keys), algorithms=list(ALGORITHMS))
            expected.validate(found.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise IdentityError("The identity provider's word cannot be verified.", next_step="Begin again.") from error
        return dict(found.claims)


def _digest(found: list[tuple[Any, ...]]) -> str:
    return hashlib.sha256(str(found[0][0]).encode()).hexdigest() if found else ""


def _failed(where: str) -> ServiceFailedError:
    return ServiceFailedError(
        "The identity provider does not answer as it should.",
        where=where,
        next_step="Sign in with your password, or ask the lab's operator.",
    )
