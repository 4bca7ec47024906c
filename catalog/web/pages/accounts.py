"""One's own account (second factor, API tokens), and for the operator, everybody's."""

from __future__ import annotations

from typing import Annotated

import pyotp
import segno
from fastapi import APIRouter, Depends, Path, Response
from pydantic import ValidationError

from catalog.credentials import new_secret
from catalog.errors import ConflictError, TooManyAttemptsError
from catalog.permissions import Action, Scope
from catalog.records import AccountDraft, Slug
from catalog.tokens import LONGEST_DAYS
from catalog.web.errors import status_of
from catalog.web.pages.edit import problems_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from catalog.web.pages.sign_in import address_of, problem_of
from datalab.errors import IdentityError

router = APIRouter()
Owner = Annotated[Page, Depends(Shown(Action.ACCOUNT_OWN))]
Withdrawer = Annotated[Page, Depends(Shown(Action.ACCOUNT_WITHDRAW, decision=True))]
DAYS = (7, 30, 90, LONGEST_DAYS)
SCOPES: dict[Scope, tuple[Scope, ...]] = {
    Scope.READ: (Scope.READ,),
    Scope.WRITE: (Scope.READ, Scope.WRITE),
    Scope.DECIDE: (Scope.READ, Scope.WRITE, Scope.DECIDE),
}
"""What can be chosen, and what it includes."""
SCOPE = {
    Scope.READ: mark("Read"),
    Scope.WRITE: mark("Read and change"),
    Scope.DECIDE: mark("Read, change and decide"),
}
_NOT_GRANTED = mark("A token that decides is made in a session with a second factor only. Set it up, or give its code.")
WRONG_PASSWORD = mark("This is not your password.")
_WRONG_CODE = mark("This is not the code for the key above. Type the one that your authenticator shows now.")
_NO_LABEL = mark("Give the token a name, so that you will know it again.")
_TAKEN = mark("This name belongs to an account with another role or organisation. Choose another one.")


@router.get("/account")
def own(page: Owner) -> Response:
    """Show one's own account."""
    return own_account(page)


@router.post("/account/tokens")
def issue_token(page: Owner, form: Form) -> Response:
    """Make an API token, and show it this once."""
    label, days, scope = form.get("label", "").strip()[:100], form.get("days", ""), form.get("scope", "read")
    assert page.session is not None
    problems = {}
    if not label.isprintable() or not label or days not in {str(one) for one in DAYS}:
        problems["label"] = _NO_LABEL
    if scope not in SCOPES or (scope == Scope.DECIDE and not page.session.second_factor):
        problems["scope"] = _NOT_GRANTED
    if problems:
        return own_account(page, status=422, problems=problems, label=label)
    _, token = page.lab.tokens.issue(page.account, label, days=int(days), scopes=SCOPES[Scope(scope)])
    return own_account(page, token=token)


@router.post("/account/tokens/{token}/revoke")
def revoke_token(page: Owner, token: Annotated[Slug, Path()]) -> Response:
    """Revoke one of one's own API tokens."""
    page.lab.tokens.revoke(page.account, token)
    return page.go("/account?notice=token-revoked")


@router.get("/account/second-factor")
def second_factor_form(page: Owner) -> Response:
    """Show a new key for a second factor; or ask for the code, where there is one."""
    if page.lab.credentials.has_second_factor(page.account.name):
        return page.go("/sign-in/code?next=/account")
    return _second_factor(page, new_secret(), {})


@router.post("/account/second-factor")
def set_second_factor(page: Owner, form: Form) -> Response:
    """Set the second factor up, if password and code are right."""
    secret, name = form.get("secret", ""), page.account.name
    problems, status = {}, 422
    if len(secret) != len(new_secret()) or not set(secret) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"):
        return page.go("/account/second-factor")
    try:
        page.lab.credentials.check_password(name, form.get("password", "")[:1000], address=address_of(page))
    except IdentityError:
        problems = {"password": WRONG_PASSWORD}
    except TooManyAttemptsError as error:
        problems, status = {"password": problem_of(error)}, status_of(error)
    if not problems:
        try:
            page.lab.credentials.set_second_factor(name, secret, form.get("code", "")[:20])
        except IdentityError:
            problems = {"code": _WRONG_CODE}
    if problems:
        return _second_factor(page, secret, problems, status=status)
    assert page.session is not None
    session = page.lab.sessions.open(name, complete=True, second_factor=True, instead_of=page.session.id)
    return page.enter(session, "/account?notice=second-factor")


@router.get("/accounts")
def everybody(page: Annotated[Page, Depends(Shown(Action.ACCOUNT_READ))]) -> Response:
    """Show all accounts."""
    return _everybody(page)


@router.post("/accounts")
def invite(page: Annotated[Page, Depends(Shown(Action.ACCOUNT_CREATE, decision=True))], form: Form) -> Response:
    """Make an account for a person, or let its owner choose a new password; show the one-time code this once."""
    values = {name: form.get(name, "").strip() for name in AccountDraft.model_fields}
    try:
        invitation = page.lab.credentials.invite(AccountDraft.model_validate(values), actor=page.account.name)
    except ValidationError as error:
        return _everybody(page, status=422, values=values, problems=problems_of(error))
    except ConflictError:
        return _everybody(page, status=409, values=values, problems={"name": _TAKEN})
    return _everybody(page, invitation=invitation)


@router.get("/accounts/{name}/withdraw")
def withdraw_form(page: Withdrawer, name: Annotated[Slug, Path()]) -> Response:
    """Ask whether everything that an account could come in with is to be taken away."""
    return page.show("withdraw.html", name=name)


@router.post("/accounts/{name}/withdraw")
def withdraw(page: Withdrawer, name: Annotated[Slug, Path()]) -> Response:
    """Withdraw an account."""
    page.lab.credentials.withdraw(name, actor=page.account.name)
    return page.go("/accounts?notice=withdrawn")


def own_account(
    page: Page, *, status: int = 200, token: str = "", problems: dict[str, str] | None = None, label: str = ""
) -> Response:
    """Show one's own account, with a token that was just made, or with what is wrong with a form of it."""
    return page.show(
        "account.html",
        status=status,
        token=token,
        tokens=page.lab.tokens.of(page.account),
        second_factor=page.lab.credentials.has_second_factor(page.account.name),
        problems=problems or {},
        label=label,
        days=DAYS,
        scopes=SCOPE,
    )


def _second_factor(page: Page, secret: str, problems: dict[str, str], *, status: int = 200) -> Response:
    """Show a key as a QR code, which authenticators read, and as text."""
    address = pyotp.TOTP(secret).provisioning_uri(name=page.account.name, issuer_name="Datalab")
    rows = segno.make(address, error="m").matrix
    dark = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, one in enumerate(row) if one)
    return page.show(
        "second_factor.html", status=status, secret=secret, problems=problems, qr={"size": len(rows), "dark": dark}
    )


def _everybody(page: Page, *, status: int = 200, invitation: object = None, **given: dict[str, str]) -> Response:
    return page.show(
        "accounts.html",
        status=status,
        accounts=page.lab.accounts.every(),
        invitation=invitation,
        values=given.get("values", {}),
        problems=given.get("problems", {}),
    )
