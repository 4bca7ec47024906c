"""What routes ask for: the lab, and an account that may do what they do."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from catalog.errors import ConflictError
from catalog.lab import Lab
from catalog.permissions import PUBLIC, Action, check_may, check_scope
from catalog.records import AccountDraft, Number, Slug


class Allowed:
    """A dependency that gives the account of a request, if its role may do ``action`` and its token is good for it.

    A route names it first: dependencies are met in order, and whoever may not do it learns nothing else.
    Like the others here it waits for nothing, and is a coroutine so that no thread is fetched for it.
    """

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> AccountDraft:
        """Return the account, or raise NotPermittedError."""
        return self.check(request)

    def check(self, request: Request) -> AccountDraft:
        """Return the account, or raise NotPermittedError."""
        account: AccountDraft = request.state.account
        check_may(account, self.action)
        check_scope(request.state.scopes, self.action)
        return account


class Public(Allowed):
    """A dependency for what is public: it gives the account of a request that names one, and None for any other."""

    def __init__(self, action: Action) -> None:
        assert action in PUBLIC, "the permissions table says what is public"
        super().__init__(action)

    async def __call__(self, request: Request) -> AccountDraft | None:  # type: ignore[override]  # None is nobody
        """Return the account, or None; raise NotPermittedError where the account may not do it."""
        return self.check(request) if request.state.account is not None else None


async def the_lab(request: Request) -> Lab:
    """Return the lab that the server serves."""
    lab: Lab = request.app.state.lab
    return lab


async def expected_revision(if_match: Annotated[str | None, Header()] = None) -> int:
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
