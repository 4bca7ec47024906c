"""The release of what runs leave behind: the list of those that wait, what the checks found, and the decision."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError

from catalog import runs
from catalog.errors import NotPermittedError
from catalog.permissions import Action
from catalog.records import DatasetPatch, Slug
from catalog.release import releases
from catalog.release.records import ReleaseDecision
from catalog.release.transitions import ReleaseStep
from catalog.run_records import RunRecord
from catalog.web import launching
from catalog.web.access import DatasetId
from catalog.web.pages.decisions import change_rule
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from datalab.errors import BadInputError

router = APIRouter()
Asker = Annotated[Page, Depends(Shown(Action.RELEASE_ASK))]
Reader = Annotated[Page, Depends(Shown(Action.RELEASE_READ))]
Decider = Annotated[Page, Depends(Shown(Action.RELEASE_DECIDE, decision=True))]
_MANY = 200
_LONGEST = 10_000
_MISSING = {"text": mark("Say why."), "files": mark("Choose at least one file.")}


@router.get("/releases")
def listing(page: Reader) -> Response:
    """Show the runs whose release the account has to decide on."""
    return page.show("releases.html", runs=releases.waiting(page.lab.store, page.account, limit=_MANY))


@router.post("/runs/{run}/release-request")
def ask(page: Asker, run: Slug, form: Form) -> Response:
    """Ask for the release of what a run left behind."""
    text = form.get("text", "").strip()[:_LONGEST]
    if not text:
        raise BadInputError("It is not said why the files are needed.", next_step="Go back and say why.")
    launching.ask_release(page.lab, run, text, page.account)
    return page.go(f"/runs/{run}?notice=release-asked")


@router.post("/runs/{run}/release-withdrawal")
def withdraw(page: Asker, run: Slug) -> Response:
    """Take back what was asked."""
    releases.withdraw(page.lab.store, run, page.account)
    return page.go(f"/runs/{run}?notice=release-withdrawn")


@router.get("/runs/{run}/release")
def decision_form(page: Decider, run: Slug) -> Response:
    """Show what the checks found, and ask for the decision."""
    return _show(page, _run(page, run))


@router.post("/runs/{run}/release")
def decide(page: Decider, run: Slug, form: Form) -> Response:
    """Release, refuse, or take a release back."""
    found = _run(page, run)
    said = {
        "step": form.get("step", ""),
        "text": form.get("text", "").strip()[:_LONGEST],
        "files": tuple(one.name for index, one in enumerate(found.artifacts) if f"file-{index}" in form),
        "revision": int(text) if (text := form.get("revision", "")).isdigit() else 0,
    }
    try:
        decision = ReleaseDecision.model_validate(said)
    except ValidationError as error:
        raise BadInputError("This is no decision.", next_step="Send the form from its page.") from error
    if decision.step is ReleaseStep.RELEASE and not decision.files:
        return _show(page, found, chosen=(), text=decision.text, missing="files")
    try:
        releases.decide(page.lab.store, run, decision, page.account)
    except BadInputError:
        return _show(page, found, chosen=decision.files, missing="text")
    return page.go(f"/runs/{run}?notice=release-{decision.step}")


@router.post("/datasets/{dataset}/release")
def demand(
    page: Annotated[Page, Depends(Shown(Action.DATASET_DECIDERS, decision=True))], dataset: DatasetId, form: Form
) -> Response:
    """Say whether what runs on a dataset leave behind has to be released."""
    return change_rule(page, dataset, DatasetPatch(release=form.get("release") == "yes"))


def _run(page: Page, run: str) -> RunRecord:
    found = runs.whole(page.lab.store, run, page.account)
    if found.release is None or not releases.decides(found.release, page.account):
        raise NotPermittedError(
            "Somebody else decides on what this run left, or it needs no release.",
            where=f"run {run}",
            next_step="Look at the run's page.",
        )
    return found


def _show(
    page: Page, run: RunRecord, *, chosen: tuple[str, ...] | None = None, text: str = "", missing: str = ""
) -> Response:
    steps = [one for one in ReleaseStep if releases.may_take(run, one, page.account)]
    everything = tuple(one.name for one in run.artifacts)
    return page.show(
        "release.html",
        status=422 if missing else 200,
        run=run,
        release=run.release,
        steps=steps,
        chosen=everything if chosen is None else chosen,
        text=text,
        problems={missing: _MISSING[missing]} if missing else {},
    )
