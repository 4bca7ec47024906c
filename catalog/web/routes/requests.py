"""Access requests: writing, assessing, deciding."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from catalog.access import decisions, requests
from catalog.access.records import AccessRequest, PermitDraft, PermitRecord, Reason, RequestContent, RequestDraft, Terms
from catalog.access.transitions import State
from catalog.errors import ConflictError
from catalog.permissions import Action
from catalog.records import AccountDraft, Slug
from catalog.web.access import Allowed, Limit, Revision, TheLab
from datalab.permits.claims import PermitClaims

router = APIRouter(prefix="/requests", tags=["access"])
RequestId = Annotated[Slug, Path()]
Reader = Annotated[AccountDraft, Depends(Allowed(Action.REQUEST_READ))]
Writer = Annotated[AccountDraft, Depends(Allowed(Action.REQUEST_WRITE))]
Decider = Annotated[AccountDraft, Depends(Allowed(Action.REQUEST_DECIDE))]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


@router.post("", status_code=201)
def create(account: Writer, draft: RequestDraft, lab: TheLab) -> AccessRequest:
    """Begin a request; it is a draft, in which anything may still be missing."""
    return requests.create(lab.store, draft, account)


@router.get("")
def read_all(
    account: Reader,
    lab: TheLab,
    state: Annotated[list[State] | None, Query(max_length=20)] = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> list[AccessRequest]:
    """Return the requests that the account sees, those that changed last first."""
    return requests.find(lab.store, account, states=state or list(State), offset=offset, limit=limit)


@router.get("/{request}")
def read(account: Reader, request: RequestId, lab: TheLab) -> AccessRequest:
    """Return one request."""
    return requests.read(lab.store, request, account)


@router.put("/{request}")
def edit(
    account: Writer, request: RequestId, content: RequestContent, revision: Revision, lab: TheLab
) -> AccessRequest:
    """Write what a request says, while it is a draft or returned."""
    return requests.edit(lab.store, request, content, revision=revision, account=account)


@router.post("/{request}/submission")
def submit(account: Writer, request: RequestId, revision: Revision, lab: TheLab) -> AccessRequest:
    """Hand a request in; an error says field by field what it lacks."""
    return requests.submit(lab.store, request, revision=revision, account=account)


@router.post("/{request}/withdrawal")
def withdraw(account: Writer, request: RequestId, revision: Revision, lab: TheLab) -> AccessRequest:
    """Take a request back for good."""
    return requests.withdraw(lab.store, request, revision=revision, account=account)


@router.post("/{request}/comments", status_code=201)
def comment(
    account: Annotated[AccountDraft, Depends(Allowed(Action.REQUEST_COMMENT))],
    request: RequestId,
    said: Reason,
    lab: TheLab,
) -> AccessRequest:
    """Say something about a request to everybody who sees it."""
    return requests.comment(lab.store, request, said.text, account)


@router.post("/{request}/return")
def send_back(
    account: Annotated[AccountDraft, Depends(Allowed(Action.REQUEST_RETURN))],
    request: RequestId,
    said: Reason,
    revision: Revision,
    lab: TheLab,
) -> AccessRequest:
    """Return a request to its applicant, with the reason."""
    return decisions.send_back(lab.store, request, said.text, revision=revision, account=account)


@router.post("/{request}/rejection")
def reject(account: Decider, request: RequestId, said: Reason, revision: Revision, lab: TheLab) -> AccessRequest:
    """Reject a request for good, with the reason."""
    return decisions.reject(lab.store, request, said.text, revision=revision, account=account)


@router.post("/{request}/approval")
def approve(account: Decider, request: RequestId, terms: Terms, revision: Revision, lab: TheLab) -> AccessRequest:
    """Approve a request on these terms; where two people have to, the second approves the same ones."""
    return decisions.approve(lab.store, request, terms, revision=revision, account=account)


@router.get("/{request}/claims")
def claims(account: Reader, request: RequestId, lab: TheLab) -> PermitClaims:
    """Return the claims that the permit of an approved request has to say."""
    found = requests.read(lab.store, request, account)
    if found.claims is None:
        raise ConflictError(
            f"The request is {found.state}, and no permit was decided.", where=request, next_step="Approve it first."
        )
    return found.claims


@router.post("/{request}/permit", status_code=201)
def grant(account: Decider, request: RequestId, signed: PermitDraft, revision: Revision, lab: TheLab) -> PermitRecord:
    """Record the signed permit, which has to say exactly what was decided."""
    return decisions.grant(lab.store, request, signed.token, lab.permit_keys, revision=revision, account=account)[1]


@router.post("/{request}/answer")
def answer(account: Decider, request: RequestId, said: Reason, revision: Revision, lab: TheLab) -> AccessRequest:
    """Give the statistic that was asked for; the public register shows it."""
    return decisions.answer(lab.store, request, said.text, revision=revision, account=account)
