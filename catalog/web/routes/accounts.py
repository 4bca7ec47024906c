"""Accounts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from catalog.permissions import Action
from catalog.records import AccountDraft, Invitation, IssuedAccount
from catalog.web.access import Allowed, TheLab

router = APIRouter(prefix="/accounts", tags=["accounts"])


@router.post("", status_code=201)
def create(
    draft: AccountDraft,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.ACCOUNT_CREATE))],
) -> IssuedAccount:
    """Make an account; its token is in this answer and nowhere else."""
    return lab.accounts.create(draft, actor=account.name)


@router.post("/invitations", status_code=201)
def invite(
    draft: AccountDraft,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.ACCOUNT_CREATE))],
) -> Invitation:
    """Give a person's account, made if it is new, a one-time code with which to choose a password."""
    return lab.credentials.invite(draft, actor=account.name)
