"""The life of a dataset in the browser: moving it to another state, withdrawing a version, what is not published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError

from catalog import datasets, lifecycle
from catalog.errors import ConflictError
from catalog.permissions import Action, check_holder
from catalog.records import DATASET_TRANSITIONS, Dataset, Reason, StateChange
from catalog.web.access import DatasetId, VersionNumber
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown

router = APIRouter()
Editor = Annotated[Page, Depends(Shown(Action.DATASET_UPDATE))]
Withdrawer = Annotated[Page, Depends(Shown(Action.VERSION_WITHDRAW))]
MOST = 500
_CHOOSE = mark("Choose what is to become of it.")
_SAY_WHY = mark("Say why, in one line of up to 300 characters.")
_CHANGED = mark("Somebody else has changed this dataset meanwhile. Look at it, then decide again.")


@router.get("/unpublished")
def unpublished(page: Annotated[Page, Depends(Shown(Action.DATASET_UNPUBLISHED))]) -> Response:
    """Show drafts, and datasets that are withdrawn or deleted."""
    return page.show("unpublished.html", found=lifecycle.unpublished(page.lab.store, page.account, limit=MOST))


@router.get("/datasets/{dataset}/state")
def state_form(page: Editor, dataset: DatasetId) -> Response:
    """Ask what is to become of a dataset."""
    found = lifecycle.read(page.lab.store, dataset, page.account)
    return _state(page, found, {"revision": str(found.revision)})


@router.post("/datasets/{dataset}/state")
def move(page: Editor, dataset: DatasetId, form: Form) -> Response:
    """Move a dataset to another state."""
    store, revision = page.lab.store, form.get("revision", "")
    seen = int(revision) if revision.isdecimal() and len(revision) < 8 else 0
    try:
        wanted = StateChange.model_validate({"state": form.get("state", ""), "reason": form.get("reason", "") or None})
        lifecycle.move(store, dataset, wanted, revision=seen, account=page.account)
    except ValidationError as error:
        wrong = {str(one["loc"][0]) for one in error.errors()}
        problems = {name: words for name, words in {"state": _CHOOSE, "reason": _SAY_WHY}.items() if name in wrong}
    except ConflictError:
        problems = {"state": _CHANGED}
    else:
        return page.go(f"/datasets/{dataset}?notice=moved")
    found = lifecycle.read(store, dataset, page.account)
    return _state(page, found, {**form, "revision": str(found.revision)}, problems=problems)


@router.get("/datasets/{dataset}/versions/{number}/withdraw")
def withdraw_form(page: Withdrawer, dataset: DatasetId, number: VersionNumber) -> Response:
    """Ask whether a version may not be used any more."""
    return _withdraw(page, dataset, number, {})


@router.post("/datasets/{dataset}/versions/{number}/withdraw")
def withdraw(page: Withdrawer, dataset: DatasetId, number: VersionNumber, form: Form) -> Response:
    """Withdraw a version."""
    try:
        why = Reason.model_validate({"reason": form.get("reason", "").strip()})
    except ValidationError:
        return _withdraw(page, dataset, number, form, problems={"reason": _SAY_WHY})
    lifecycle.withdraw(page.lab.store, dataset, number, reason=why.reason, account=page.account)
    return page.go(f"/datasets/{dataset}/versions?notice=version-withdrawn")


def _state(
    page: Page, found: Dataset, values: Mapping[str, str], *, problems: dict[str, str] | None = None
) -> Response:
    check_holder(page.account, found.holder)
    return page.show(
        "state.html",
        status=422 if problems else 200,
        dataset=found,
        able=sorted(DATASET_TRANSITIONS[found.state]),
        values=values,
        problems=problems or {},
    )


def _withdraw(
    page: Page, dataset: str, number: int, values: Mapping[str, str], *, problems: dict[str, str] | None = None
) -> Response:
    found = lifecycle.read(page.lab.store, dataset, page.account)
    check_holder(page.account, found.holder)
    return page.show(
        "withdraw_version.html",
        status=422 if problems else 200,
        dataset=found,
        version=datasets.version(page.lab.store, dataset, number),
        values=values,
        problems=problems or {},
    )
