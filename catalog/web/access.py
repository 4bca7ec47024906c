"""What routes ask for: the lab, and an account that may do what they do."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from catalog.errors import ConflictError
from catalog.lab import Lab
from catalog.permissions import Action, check_may, check_scope
from catalog.records import AccountDraft, Number, Slug


class Allowed:
    """A dependency that gives the account of a request, if its role may do ``action`` and its token is good for it.

    A route names it first: dependencies are met in order, and whoever may not do it learns nothing else.
    """

    def __init__(self, action: Action) -> None:
        self.action = action

    def __call__(self, request: Request) -> AccountDraft:
        """Return the account, or raise NotPermittedError."""
        account: AccountDraft = request.state.account
        check_may(account, self.action)
        check_scope(request.state.scopes, self.action)
        return account


def the_lab(request: Request) -> Lab:
    """Return the lab that the server serves."""
    lab: Lab = request.app.state.lab
    return lab


def expected_revision(if_match: Annotated[str | None, Header()] = None) -> int:
    """Return the revision that a change is meant for, from ``If-Match: "3"``.

    Raises:
        ConflictError: the header is missing or is not a revision.
    """
    found = re.fullmatch(r'"?([0-9]{1,9})"?', if_match or "")
    if found is None:
        raise ConflictError(
            "The request does not say which revision it changes.",
            where="If-Match",
            next_step='Send the revision that you have read, as If-Match: "3".',
        )
    return int(found[1])


TheLab = Annotated[Lab, Depends(the_lab)]
Revision = Annotated[int, Depends(expected_revision)]
DatasetId = Annotated[Slug, Path()]
VersionNumber = Annotated[Number, Path()]
Accept = Annotated[str, Header(max_length=2000)]
After = Annotated[str, Query(max_length=300)]
Limit = Annotated[int, Query(ge=1, le=1000)]
