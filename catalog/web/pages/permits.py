"""The permits on record, each with all that was done under it; revoking, renewing, and saying what came of one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import ValidationError

from catalog import permits, revocation
from catalog.access import requests
from catalog.access.records import PermitRecord, ResultDraft
from catalog.access.transitions import PERMIT, PermitStep
from catalog.event_records import Event
from catalog.permissions import Action
from catalog.records import Line, Role
from catalog.run_records import RunRecord
from catalog.store import now
from catalog.web.pages.edit import problems_of
from catalog.web.pages.page import Form, Page, Shown

router = APIRouter(prefix="/permits")
Reader = Annotated[Page, Depends(Shown(Action.PERMIT_READ))]
Revoker = Annotated[Page, Depends(Shown(Action.PERMIT_REVOKE, decision=True))]
PermitId = Annotated[Line, Path()]
PER_PAGE = 50
MOST_EVENTS = 200
MOST_RUNS = 200


@router.get("")
def listing(page: Reader, after: Annotated[str, Query(max_length=300)] = "") -> Response:
    """Show the permits that the account sees, by id."""
    found = permits.find(page.lab.store, page.account, after=after, limit=PER_PAGE + 1)
    return page.show("permits.html", permits=found[:PER_PAGE], more=len(found) > PER_PAGE, after=after)


@router.get("/{permit}")
def one(page: Reader, permit: PermitId) -> Response:
    """Show a permit, and all that was done under it."""
    return _one(page, permit)


@router.post("/{permit}/results")
def add_result(page: Annotated[Page, Depends(Shown(Action.PERMIT_RESULT))], permit: PermitId, form: Form) -> Response:
    """Say what came of a permit; the public register shows it."""
    said = {name: text for name in ResultDraft.model_fields if (text := form.get(name, "").strip())}
    try:
        permits.add_result(page.lab.store, permit, ResultDraft.model_validate(said), page.account)
    except ValidationError as error:
        return _one(page, permit, values=form, problems=problems_of(error))
    return page.go(f"/permits/{permit}?notice=result")


@router.post("/{permit}/renew")
def renew(page: Annotated[Page, Depends(Shown(Action.REQUEST_WRITE))], permit: PermitId) -> Response:
    """Begin a request for a permit that follows this one."""
    return page.go(f"/requests/{requests.renew(page.lab.store, permit, page.account).id}/edit")


@router.get("/{permit}/revoke")
def revoke_form(page: Revoker, permit: PermitId) -> Response:
    """Ask whether a permit is to be revoked, which cannot be taken back."""
    return page.show("revoke.html", permit=permits.read(page.lab.store, permit, page.account))


@router.post("/{permit}/revoke")
def revoke(page: Revoker, permit: PermitId) -> Response:
    """Revoke a permit, and stop its runs."""
    revocation.revoke(page.lab.store, permit, page.account)
    return page.go(f"/permits/{permit}?notice=revoked")


def _one(page: Page, permit: str, *, values: Form | None = None, problems: dict[str, str] | None = None) -> Response:
    found = permits.read(page.lab.store, permit, page.account)
    named = page.account.organisation == found.claims.data_user and page.account.name in found.claims.people
    runs = _runs(page, permit)
    return page.show(
        "permit.html",
        status=422 if problems else 200,
        permit=found,
        runs=runs,
        events=_events(page, found, runs),
        may_revoke=_revocable(found) and permits.may_revoke(found, page.account),
        may_renew=named and found.request is not None and page.may(Action.REQUEST_WRITE),
        may_launch=page.may(Action.RUN_SUBMIT)
        and (named or page.account.role is not Role.RESEARCHER)
        and found.claims.not_before <= now() < found.claims.expires
        and found.revoked is None,
        may_tell=named and page.may(Action.PERMIT_RESULT),
        values=values or {},
        problems=problems or {},
    )


def _revocable(permit: PermitRecord) -> bool:
    return permits.state(permit, now()) in PERMIT[PermitStep.REVOKE].sources


def _runs(page: Page, permit: str) -> list[RunRecord]:
    if not page.may(Action.RUN_READ):
        return []
    rows = page.lab.store.rows(
        "SELECT record FROM runs WHERE list_contains(record ->> '$.permits[*]', ?) "
        "ORDER BY record ->> 'created' DESC LIMIT ?",
        [permit, MOST_RUNS],
    )
    return [RunRecord.model_validate_json(row[0]) for row in rows]


def _events(page: Page, permit: PermitRecord, runs: list[RunRecord]) -> list[Event]:
    """Return what was done with a permit, its request and its runs, the newest first."""
    subjects = [f"permit/{permit.id}", *(f"run/{one.id}" for one in runs)]
    if permit.request is not None:
        subjects.append(f"request/{permit.request}")
    return page.lab.store.events_about(subjects, limit=MOST_EVENTS)
