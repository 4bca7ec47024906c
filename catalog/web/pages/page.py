"""What every page starts from: who asks, in which language, and may they; and the way back to the browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from catalog.errors import NotPermittedError, TooLargeError
from catalog.lab import Lab
from catalog.limits import Limits
from catalog.permissions import Action, check_may, may
from catalog.records import AccountDraft
from catalog.sessions import LIFETIME, Session
from catalog.web.pages.language import COOKIE, Language, negotiate
from catalog.web.pages.templates import environment
from datalab.errors import BadInputError

MAX_FORM = 200_000
"""Bytes of a form; files do not come in forms."""
_SAFE = frozenset({"GET", "HEAD"})


class SignInNeededError(Exception):
    """Nobody is signed in, or not with what this page needs; ``address`` is where to go first."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


@dataclass(frozen=True)
class Page:
    """One request for a page."""

    request: Request
    lab: Lab
    language: Language
    session: Session | None

    @property
    def account(self) -> AccountDraft:
        """The account that is signed in, on pages that ask for one."""
        assert self.session is not None, "this page does not ask for a session"
        return self.session.account

    @property
    def address(self) -> str:
        """The page's own address in the lab: path and query."""
        url = self.request.url
        return url.path + (f"?{url.query}" if url.query else "")

    @property
    def origin(self) -> str:
        """The address at which people reach the lab."""
        return own_origin(self.request)

    def may(self, action: Action) -> bool:
        """Return whether whoever asks may do ``action``."""
        return self.session is not None and self.session.complete and may(self.session.account.role, action)

    def words(self, text: str) -> str:
        """Translate a text that was marked for translation."""
        return self.language.words(text)

    def show(self, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page made from a template."""
        return HTMLResponse(self.render(template, **values), status)

    def render(self, template: str, /, **values: Any) -> str:
        """Return what a template makes."""
        return environment(self.language.code).get_template(template).render(page=self, **values)

    def go(self, address: str) -> RedirectResponse:
        """Send the browser to another page of the lab, which it gets with GET."""
        return RedirectResponse(local(address), 303)

    def enter(self, session: str, address: str) -> RedirectResponse:
        """Send the browser on with a new session's id."""
        answer = self.go(address)
        self.keep(answer, session)
        return answer

    def keep(self, answer: Response, session: str) -> None:
        """Have the browser keep a session's id."""
        answer.set_cookie(
            cookie_name(self.request),
            session,
            max_age=int(LIFETIME.total_seconds()),
            secure=is_secure(self.request),
            httponly=True,
            samesite="strict",
        )


async def open_page(request: Request) -> Page:
    """Return the page of a request that needs no account."""
    lab: Lab = request.app.state.lab
    session = None
    if key := request.cookies.get(cookie_name(request)):
        session = await run_in_threadpool(lab.sessions.find, key[:200])
    if session is not None:
        request.state.account = session.account
    chosen = negotiate(request.cookies.get(COOKIE), request.headers.get("Accept-Language", ""))
    return Page(request, lab, chosen, session)


class Shown:
    """A dependency that gives the page of a request whose account may do ``action``.

    Args:
        action: what the page shows or does.
        decision: whether it is a decision, which needs the second factor.
    """

    def __init__(self, action: Action, *, decision: bool = False) -> None:
        self.action = action
        self.decision = decision

    async def __call__(self, page: Annotated[Page, Depends(open_page)]) -> Page:
        """Return the page, or raise SignInNeededError or NotPermittedError."""
        back = page.address if page.request.method in _SAFE else "/"
        if page.session is None:
            raise SignInNeededError(f"/sign-in?next={quote(back)}")
        if not page.session.complete:
            raise SignInNeededError(f"/sign-in/code?next={quote(back)}")
        check_may(page.account, self.action)
        limits: Limits = page.request.app.state.limits
        limits.check(page.request.method, page.request.url.path, f"account {page.account.name}")
        if self.decision and not page.session.second_factor:
            raise SignInNeededError("/account/second-factor?notice=needed")
        return page


async def same_origin(request: Request) -> None:
    """Refuse what another site's page makes a browser send (CSRF), by what browsers say about a request's origin.

    Raises:
        NotPermittedError: the request changes something and does not come from one of the lab's own pages.
    """
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    own = site == "same-origin" if site is not None else origin == own_origin(request)
    if not own or (origin is not None and origin != own_origin(request)):
        raise NotPermittedError(
            "This request does not come from one of the lab's own pages.",
            next_step="Open the page in the lab and send the form from there.",
        )


async def form_of(request: Request) -> Mapping[str, str]:
    """Return the fields of a form; of a field that is there more than once, the values joined by spaces.

    Raises:
        BadInputError: the request carries no form.
        TooLargeError: it is larger than any form here.
    """
    if request.headers.get("Content-Type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise BadInputError("The request carries no form.", next_step="Send the form from its page.")
    request.state.max_body = MAX_FORM
    if int(request.headers.get("Content-Length", "0")) > MAX_FORM:
        raise TooLargeError("The form is too large.", next_step="Shorten what you have written.")
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=4000, errors="strict")
    except ValueError as error:
        raise BadInputError("The form cannot be read.", next_step="Send the form from its page.") from error
    fields: dict[str, str] = {}
    for name, sent in pairs:
        value = sent.replace("\r\n", "\n")
        fields[name] = f"{fields[name]} {value}" if name in fields else value
    return fields


def local(address: str) -> str:
    """Return an address if it is a path in this lab, and the start page's otherwise."""
    parts = urlsplit(address)
    plain = address.isascii() and address.isprintable() and "\\" not in address
    if not plain or parts.scheme or parts.netloc or not address.startswith("/") or address.startswith("//"):
        return "/"
    return address


def own_origin(request: Request) -> str:
    """Return the origin of the lab's own pages, as a browser names it."""
    public: str | None = request.app.state.public_url
    return public or f"{request.url.scheme}://{request.url.netloc}"


def is_secure(request: Request) -> bool:
    """Return whether people reach the lab by HTTPS."""
    return own_origin(request).startswith("https://")


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie; by HTTPS, one that browsers hold to this host alone."""
    return "__Host-datalab" if is_secure(request) else "datalab"


AnyPage = Annotated[Page, Depends(open_page)]
Form = Annotated[Mapping[str, str], Depends(form_of)]
