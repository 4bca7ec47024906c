"""Signing in at an OpenID provider, and linking an account to an identity there.

Browsers do not send a strict cookie along when another site sends them here: what the provider answers is bound to the
browser by a short-lived cookie of its own, and the way on from there is a page of the lab.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import RedirectResponse

from catalog.errors import ConflictError, TooManyAttemptsError
from catalog.oidc import PATIENCE, Oidc, Proven
from catalog.permissions import Action
from catalog.web.errors import status_of
from catalog.web.pages.accounts import WRONG_PASSWORD, own_account
from catalog.web.pages.language import mark
from catalog.web.pages.page import AnyPage, Form, Page, Shown, is_secure, local, own_origin
from catalog.web.pages.sign_in import address_of, problem_of
from datalab.errors import IdentityError, NotFoundError, ServiceFailedError

router = APIRouter()
Owner = Annotated[Page, Depends(Shown(Action.ACCOUNT_OWN))]
Word = Annotated[str, Query(max_length=2000)]
_COOKIE = "datalab-oidc"
_PATH = "/sign-in/oidc"
_MAX_COOKIE = 4096
_UNKNOWN = mark(
    "This identity is linked to no account here. Sign in with your password, and link it under your account."
)
_REFUSED = mark("The identity provider did not sign you in, or it took too long. Try again.")
_FAILED = mark("The identity provider does not answer. Sign in with your password, or try again later.")
_OTHERS = mark("This identity is linked to another account. Unlink it there first.")


@router.get("/sign-in/oidc")
def begin(page: AnyPage, next: Word = "/") -> Response:  # noqa: A002 - the address's word
    """Send whoever comes to the provider."""
    return _send(page, goal=local(next), account=None)


@router.post("/account/identity")
def link(page: Owner, form: Form) -> Response:
    """Send the account's owner to the provider, to link the identity that comes back; a found session is not enough."""
    name = page.account.name
    try:
        page.lab.credentials.check_password(name, form.get("password", "")[:1000], address=address_of(page))
    except IdentityError:
        return own_account(page, status=422, problems={"password": WRONG_PASSWORD})
    except TooManyAttemptsError as error:
        return own_account(page, status=status_of(error), problems={"password": problem_of(error)})
    return _send(page, goal="/account?notice=linked", account=name)


@router.post("/account/identity/remove")
def unlink(page: Owner) -> Response:
    """Take the link away."""
    _provider(page).unlink(page.account.name)
    return page.go("/account?notice=unlinked")


@router.get("/sign-in/oidc/callback")
def callback(page: AnyPage, state: Word = "", code: Word = "") -> Response:
    """Take whom the provider sends back: link, or sign in."""
    oidc = _provider(page)
    try:
        kept = page.request.cookies.get(_COOKIE, "")[:_MAX_COOKIE]
        proven = oidc.finish(_redirect(page), kept=kept, state=state, code=code)
    except IdentityError:
        return _problem(page, _REFUSED, 401)
    except ServiceFailedError:
        return _problem(page, _FAILED, 503)
    goal = proven.pending.goal
    if proven.pending.account is not None:
        return _linked(page, oidc, proven)
    account = oidc.account_of(proven.subject)
    if account is None:
        return _problem(page, _UNKNOWN, 403)
    waits = not proven.second_factor and page.lab.credentials.has_second_factor(account)
    session = page.lab.sessions.open(account, complete=not waits, second_factor=proven.second_factor)
    answer = page.show("onwards.html", goal=f"/sign-in/code?next={quote(goal)}" if waits else goal)
    page.keep(answer, session)
    answer.delete_cookie(_COOKIE, path=_PATH)
    return answer


def _linked(page: Page, oidc: Oidc, proven: Proven) -> Response:
    try:
        oidc.link(proven)
    except IdentityError:
        return _problem(page, _REFUSED, 401)
    except ConflictError:
        return _problem(page, _OTHERS, 409)
    return page.show("onwards.html", goal=proven.pending.goal)


def _send(page: Page, *, goal: str, account: str | None) -> Response:
    try:
        address, kept = _provider(page).begin(_redirect(page), goal=goal, account=account)
    except ServiceFailedError:
        return _problem(page, _FAILED, 503)
    answer = RedirectResponse(address, 303)
    answer.set_cookie(
        _COOKIE, kept, max_age=PATIENCE, path=_PATH, secure=is_secure(page.request), httponly=True, samesite="lax"
    )
    return answer


def _provider(page: Page) -> Oidc:
    if page.lab.oidc is None:
        raise NotFoundError("This lab trusts no identity provider.", next_step="Sign in with your password.")
    return page.lab.oidc


def _redirect(page: Page) -> str:
    return f"{own_origin(page.request)}/sign-in/oidc/callback"


def _problem(page: Page, problem: str, status: int) -> Response:
    return page.show("sign_in.html", status=status, next="/", name="", problem=problem, notice="")
