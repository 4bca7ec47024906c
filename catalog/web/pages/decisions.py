"""What assessors and deciders do with a request: return, reject, approve, hand the signed permit in, answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError

from catalog import datasets
from catalog.access import decisions, requests
from catalog.access.policy import proposed
from catalog.access.records import AccessRequest, Kind, Terms
from catalog.access.transitions import Step
from catalog.errors import ConflictError
from catalog.permissions import Action
from catalog.records import Dataset, DatasetPatch
from catalog.web.access import DatasetId
from catalog.web.pages.edit import problems_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from catalog.web.pages.requests import revision_of
from catalog.web.routes.requests import RequestId
from datalab.errors import BadInputError, RefusedError

router = APIRouter()
Assessor = Annotated[Page, Depends(Shown(Action.REQUEST_RETURN))]
Decider = Annotated[Page, Depends(Shown(Action.REQUEST_DECIDE, decision=True))]
_NO_REASON = mark("Say why.")
_NO_ANSWER = mark("Write the statistic.")
_NOT_THIS_DAY = mark("The last day is from today on and at most ten years away.")
_NOT_ACCEPTED = mark("This permit is not accepted; the reason is above.")
_LONGEST = 10_000


@router.get("/requests/{request}/return")
def return_form(page: Assessor, request: RequestId) -> Response:
    """Ask why a request goes back."""
    return _ask(page, request, Step.RETURN)


@router.post("/requests/{request}/return")
def send_back(page: Assessor, request: RequestId, form: Form) -> Response:
    """Return a request to its applicant."""
    if not (text := _text(form)):
        return _ask(page, request, Step.RETURN, _NO_REASON)
    decisions.send_back(page.lab.store, request, text, revision=revision_of(form), account=page.account)
    return page.go(f"/requests/{request}?notice=returned")


@router.get("/requests/{request}/reject")
def reject_form(page: Decider, request: RequestId) -> Response:
    """Ask why a request is rejected."""
    return _ask(page, request, Step.REJECT)


@router.post("/requests/{request}/reject")
def reject(page: Decider, request: RequestId, form: Form) -> Response:
    """Reject a request."""
    if not (text := _text(form)):
        return _ask(page, request, Step.REJECT, _NO_REASON)
    decisions.reject(page.lab.store, request, text, revision=revision_of(form), account=page.account)
    return page.go(f"/requests/{request}?notice=rejected")


@router.get("/requests/{request}/answer")
def answer_form(page: Decider, request: RequestId) -> Response:
    """Ask for the statistic."""
    return _ask(page, request, Step.ANSWER)


@router.post("/requests/{request}/answer")
def answer(page: Decider, request: RequestId, form: Form) -> Response:
    """Give the statistic that was asked for."""
    if not (text := _text(form)):
        return _ask(page, request, Step.ANSWER, _NO_ANSWER)
    decisions.answer(page.lab.store, request, text, revision=revision_of(form), account=page.account)
    return page.go(f"/requests/{request}?notice=answered")


@router.get("/requests/{request}/approve")
def approve_form(page: Decider, request: RequestId) -> Response:
    """Show the terms that a decision starts from."""
    found = requests.read(page.lab.store, request, page.account)
    terms = proposed(found, datetime.now(UTC).date())
    values = {
        "until": terms.until.isoformat() if terms.until else "",
        "conditions": "\n".join(terms.conditions),
        "apps": "\n".join(terms.apps),
        "release": "yes" if terms.release else "",
    }
    return page.show("request_approve.html", request=found, values=values, problems={})


@router.post("/requests/{request}/approve")
def approve(page: Decider, request: RequestId, form: Form) -> Response:
    """Approve a request, on the terms in the form."""
    found = requests.read(page.lab.store, request, page.account)
    try:
        terms = Terms.model_validate(_terms(found, form))
        done = decisions.approve(page.lab.store, request, terms, revision=revision_of(form), account=page.account)
    except ValidationError as error:
        problems = problems_of(error)
    except BadInputError:
        problems = {"until": _NOT_THIS_DAY}
    else:
        if done.decided is None:
            return page.go(f"/requests/{request}?notice=endorsed")
        return page.go(f"/requests/{request}/{'sign' if done.claims else 'answer'}?notice=approved")
    return page.show("request_approve.html", status=422, request=found, values=form, problems=problems)


@router.get("/requests/{request}/claims")
def claims(page: Annotated[Page, Depends(Shown(Action.REQUEST_DECIDE))], request: RequestId) -> Response:
    """Return the claims to be signed, as a file."""
    found = _approved(page, request)
    assert found.claims is not None
    text = json.dumps(found.claims.model_dump(mode="json"), indent=2, ensure_ascii=False)
    headers = {"Content-Disposition": f'attachment; filename="{found.claims.id}.json"'}
    return Response(text + "\n", media_type="application/json", headers=headers)


@router.get("/requests/{request}/sign")
def sign_form(page: Decider, request: RequestId) -> Response:
    """Say how the permit is signed, which happens elsewhere, and ask for it."""
    return page.show("request_sign.html", request=_approved(page, request), token="", problem="", details="")


@router.post("/requests/{request}/sign")
def grant(page: Decider, request: RequestId, form: Form) -> Response:
    """Take the signed permit, which has to say exactly what was decided."""
    found = _approved(page, request)
    token = "".join(form.get("token", "").split())
    revision = revision_of(form)
    try:
        _, permit = decisions.grant(
            page.lab.store, request, token, page.lab.permit_keys, revision=revision, account=page.account
        )
    except RefusedError as error:
        said = {"problem": _NOT_ACCEPTED, "details": str(error)}
        return page.show("request_sign.html", status=422, request=found, token=token, **said)
    return page.go(f"/permits/{permit.id}?notice=granted")


@router.post("/datasets/{dataset}/two-people")
def two_people(
    page: Annotated[Page, Depends(Shown(Action.DATASET_DECIDERS, decision=True))], dataset: DatasetId, form: Form
) -> Response:
    """Say whether two people have to approve requests for a dataset."""
    return change_rule(page, dataset, DatasetPatch(two_people=form.get("two_people") == "yes"))


def change_rule(page: Page, dataset: str, patch: DatasetPatch) -> Response:
    """Change how is decided on a dataset, as it is now, and show its terms."""
    found = page.lab.store.get(Dataset, "datasets", dataset)
    datasets.update(page.lab.store, dataset, patch, revision=found.revision, account=page.account)
    return page.go(f"/datasets/{dataset}/access?notice=changed")


def _text(form: Form) -> str:
    """Return what was written, without spaces around it; empty if nothing was."""
    return form.get("text", "").strip()[:_LONGEST]


def _ask(page: Page, request: str, step: Step, problem: str = "") -> Response:
    found = requests.read(page.lab.store, request, page.account)
    return page.show("request_step.html", status=422 if problem else 200, request=found, step=step, problem=problem)


def _approved(page: Page, request: str) -> AccessRequest:
    """Return a request that is to be signed; ConflictError where there is nothing to sign."""
    found = requests.read(page.lab.store, request, page.account)
    if found.claims is None or not requests.may_take(found, Step.GRANT, page.account):
        raise ConflictError("There is no permit to be signed.", where=request, next_step="Look at the request.")
    return found


def _terms(request: AccessRequest, form: Mapping[str, str]) -> dict[str, object]:
    said: dict[str, object] = {
        "conditions": [line.strip() for line in form.get("conditions", "").splitlines() if line.strip()]
    }
    if request.kind is Kind.DATA:
        said |= {"until": form.get("until", "").strip() or None, "apps": form.get("apps", "").split()}
        said["release"] = form.get("release") == "yes"
    return said
