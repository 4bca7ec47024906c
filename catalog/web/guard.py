"""What every request passes first: is it for the API or a page, how much may it send, which headers go back.

The API wants a bearer token and looks at no cookie; pages want a session (``catalog.web.pages.page``) and look at no
token. So nothing that a browser sends by itself opens the API. Addresses of files take the token as the password of
HTTP Basic too (RFC 7617), for tools that know nothing else, such as mlcroissant.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catalog.accounts import SERVICE_ROLES, Accounts
from catalog.errors import TooManyRequestsError
from catalog.figures import Figures
from catalog.limits import Limits
from catalog.records import AccountDraft
from catalog.web.errors import error_answer
from datalab.errors import IdentityError

API = "/api/v1"
DRS = "/ga4gh/drs/v1"
"""Where GA4GH's Data Repository Service is, as its specification demands."""
OPEN_PATHS = frozenset({f"{API}/health", f"{API}/register", f"{API}/revocations", f"{DRS}/service-info"})
"""Paths that need no account."""
PUBLIC_PATHS = re.compile(rf"{API}/(datasets/[^/]+/exports|catalog)/[^/]+")
"""Paths that may be read without an account; with one, it counts (``catalog.web.access.Public``)."""
_FILES = re.compile(rf"{API}/datasets/[^/]+/versions/[0-9]+/download|{DRS}/objects/.+")
MAX_BODY = 4 << 20
"""Bytes that a request may carry unless its route says otherwise."""
_COMPRESSED = re.compile(
    r"/static/.*|/datasets(/[^/]+(/(schema|profile|quality|lineage|versions|compare))?)?|"
    rf"{API}/(datasets/[^/]+/exports|catalog)/.*"
)
"""Paths whose answers are compressed: what is public, and what everybody with an account reads alike.

A page repeats its own address, so the size of a compressed one would tell what else is on it to whoever can have it
asked for in another's name and see how long the answer is (BREACH). Other sites cannot, since the session's cookie is
strict; all the same, no answer with a code, a token, a permit or a finding of a file is compressed.
"""
_MAX_TOKEN = 200
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with no referrer at all, browsers say no origin of a form either
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = structlog.get_logger()


class Guard:
    """The outermost application: refuses API requests without an account, bounds bodies, logs, sets security headers.

    The account is in ``state["account"]``, its token's scopes in ``state["scopes"]``, the bound in
    ``state["max_body"]``; a route may raise it.
    """

    def __init__(
        self, api: ASGIApp, pages: ASGIApp, accounts: Accounts, limits: Limits, figures: Figures | None = None
    ) -> None:
        self._apps = {(True, False): api, (False, False): pages}
        self._apps |= {(one, True): GZipMiddleware(app, 1000, 4) for (one, _), app in list(self._apps.items())}
        self._accounts = accounts
        self._limits = limits
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        api = path.startswith(("/api/", "/ga4gh/"))
        headers_back = {**_HEADERS, "Content-Security-Policy": _API_POLICY if api else _PAGE_POLICY}
        began = time.monotonic()
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["max_body"] = MAX_BODY
        status = 0

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in headers_back.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            if api and PUBLIC_PATHS.fullmatch(path) and "Authorization" not in Headers(scope=scope):
                state["account"], state["scopes"] = None, frozenset()
            elif api and path not in OPEN_PATHS:
                bearer = await run_in_threadpool(self._accounts.authenticate, _token(scope))
                state["account"], state["scopes"] = bearer.account, bearer.scopes
            if api and path not in OPEN_PATHS:
                self._count(scope, state["account"])
            app = self._apps[api, _COMPRESSED.fullmatch(path) is not None]
            await app(scope, _bounded(receive, state), guarded_send)
        except TooManyRequestsError as error:
            await error_answer(error)(scope, receive, guarded_send)
        except IdentityError as error:
            challenge = "Basic" if _FILES.fullmatch(path) else "Bearer"
            await error_answer(error, challenge=challenge)(scope, receive, guarded_send)
        finally:
            self._answered(scope, status, time.monotonic() - began)

    def _answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Log a request that is over, and count it."""
        account, path, method = scope["state"].get("account"), scope["path"], scope["method"]
        _log.info(
            "request",
            account=account and account.name,
            method=method,
            path=path,
            status=status,
            seconds=round(seconds, 4),
        )
        if self._figures is not None:
            surface = _surface(path, scope["query_string"])
            self._figures.request(surface=surface, method=method, status=status, seconds=seconds)

    def _count(self, scope: Scope, account: AccountDraft | None) -> None:
        """Count a request of the API; services of the lab itself may ask as often as they need."""
        if account is None or account.name not in set(SERVICE_ROLES):
            who = f"account {account.name}" if account else f"from {_network((scope['client'] or ('?',))[0])}"
            self._limits.check(scope["method"], scope["path"], who)


def _surface(path: str, query: bytes) -> str:
    """Return which part of the lab a request is for; what waits for news is apart, as it takes long by intent."""
    if path.endswith("/live") or b"wait=" in query:
        return "stream"
    if path.startswith(("/api/", "/ga4gh/")):
        return "api"
    return "file" if path.startswith("/static/") else "page"


def _network(address: str) -> str:
    """Return the address that counts as one: of IPv6 the network of 64 bits, all of which one machine can have."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def _token(scope: Scope) -> str:
    kind, _, token = Headers(scope=scope).get("Authorization", "").partition(" ")
    if kind.lower() == "basic" and _FILES.fullmatch(scope["path"]):
        kind, token = "bearer", _password(token)
    if kind.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN:
        raise IdentityError(
            "This request names no account.", next_step="Send the header 'Authorization: Bearer <token>'."
        )
    return token


def _password(basic: str) -> str:
    """Return the password of HTTP Basic, or nothing where there is none that could be a token."""
    try:
        return base64.b64decode(basic, validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _bounded(receive: Receive, state: MutableMapping[str, Any]) -> Receive:
    """Count what a request sends, and stop it at the bound."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > state["max_body"]:
                raise HTTPException(413, f"The request is larger than {state['max_body']} bytes")
        return message

    return counted
