"""Signing in and out, choosing a password, the second factor's code, and the language."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from catalog.errors import TooManyAttemptsError
from catalog.web.errors import status_of
from catalog.web.pages.language import COOKIE, NAMES, mark
from catalog.web.pages.page import AnyPage, Form, Page, cookie_name, is_secure, local
from datalab.errors import BadInputError, DatalabError, IdentityError

router = APIRouter()
Next = Annotated[str, Query(max_length=2000)]
Notice = Annotated[str, Query(max_length=40)]
_YEAR = 365 * 24 * 3600
_SAID = {
    TooManyAttemptsError: mark("There have been too many attempts. Try again in a quarter of an hour."),
    IdentityError: mark("Name and password do not belong together. Type both again."),
    BadInputError: mark("A password has 12 to 200 characters and does not contain the account's name."),
}
_UNKNOWN_CODE = mark("This code is not known, was used before, or is too old. Ask the lab's operator for a new one.")
_WRONG_CODE = mark("This is not the code that your authenticator shows now, or it was used before. Wait for the next.")
_DIFFERENT = mark("The two passwords are not the same.")


@router.get("/")
def start(page: AnyPage) -> Response:
    """Send whoever comes to the datasets, which ask for signing in."""
    return page.go("/datasets")


@router.get("/sign-in")
def sign_in_form(page: AnyPage, next: Next = "/", notice: Notice = "") -> Response:  # noqa: A002 - the address's word
    """Show the form to sign in with."""
    return page.show("sign_in.html", next=local(next), name="", problem="", notice=notice)


@router.post("/sign-in")
def sign_in(page: AnyPage, form: Form) -> Response:
    """Sign in with a password."""
    name, goal = form.get("name", "").strip().lower()[:64], local(form.get("next", "/"))
    try:
        page.lab.credentials.check_password(name, form.get("password", "")[:1000], address=address_of(page))
    except (IdentityError, TooManyAttemptsError) as error:
        problem = problem_of(error)
        return page.show("sign_in.html", status=status_of(error), next=goal, name=name, problem=problem, notice="")
    waits = page.lab.credentials.has_second_factor(name)
    session = page.lab.sessions.open(name, complete=not waits, second_factor=False)
    return page.enter(session, f"/sign-in/code?next={quote(goal)}" if waits else goal)


@router.get("/sign-in/code")
def code_form(page: AnyPage, next: Next = "/") -> Response:  # noqa: A002 - the address's word
    """Ask for the code of the second factor."""
    if page.session is None:
        return page.go("/sign-in")
    return page.show("code.html", next=local(next), problem="")


@router.post("/sign-in/code")
def code(page: AnyPage, form: Form) -> Response:
    """Complete signing in with the code of the second factor."""
    goal = local(form.get("next", "/"))
    if page.session is None:
        return page.go("/sign-in")
    name = page.session.account.name
    try:
        page.lab.credentials.check_code(name, form.get("code", "")[:20], address=address_of(page))
    except (IdentityError, TooManyAttemptsError) as error:
        problem = _WRONG_CODE if isinstance(error, IdentityError) else problem_of(error)
        return page.show("code.html", status=status_of(error), next=goal, problem=problem)
    session = page.lab.sessions.open(name, complete=True, second_factor=True, instead_of=page.session.id)
    return page.enter(session, goal)


@router.post("/sign-out")
def sign_out(page: AnyPage) -> Response:
    """End the session."""
    if page.session is not None:
        page.lab.sessions.close(page.session)
    answer = page.go("/sign-in?notice=signed-out")
    answer.delete_cookie(cookie_name(page.request), secure=is_secure(page.request), httponly=True, samesite="strict")
    return answer


@router.get("/password")
def password_form(page: AnyPage) -> Response:
    """Ask for a one-time code and a new password."""
    return page.show("password.html", problems={})


@router.post("/password")
def password(page: AnyPage, form: Form) -> Response:
    """Set the password of the account that was given the code."""
    first = form.get("password", "")
    if first != form.get("again", ""):
        return page.show("password.html", status=422, problems={"again": _DIFFERENT})
    try:
        page.lab.credentials.accept(form.get("code", "")[:200], first)
    except (IdentityError, BadInputError) as error:
        wrong_code = isinstance(error, IdentityError)
        problems = {"code": _UNKNOWN_CODE} if wrong_code else {"password": problem_of(error)}
        return page.show("password.html", status=422, problems=problems)
    return page.go("/sign-in?notice=password")


@router.post("/language")
def language(page: AnyPage, form: Form) -> Response:
    """Keep the language that was chosen, and go back to where it was."""
    answer = page.go(form.get("next", "/"))
    if (chosen := form.get("language", "")) in NAMES:
        answer.set_cookie(COOKIE, chosen, max_age=_YEAR, secure=is_secure(page.request), httponly=True, samesite="lax")
    return answer


def problem_of(error: DatalabError) -> str:
    """Return what a form says about an error, marked for translation."""
    return next(said for kind, said in _SAID.items() if isinstance(error, kind))


def address_of(page: Page) -> str:
    """Return the address that a request came from."""
    return page.request.client.host if page.request.client else ""
