"""Accounts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from catalog.permissions import Action
from catalog.records import AccountDraft, IssuedAccount
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
