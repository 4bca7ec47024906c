"""The federated runs: the list, a run as it goes on, cancelling it, what it left behind, and runs side by side."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import PlainTextResponse

from catalog import runs
from catalog.permissions import Action
from catalog.progress import Progress
from catalog.queue import Queue
from catalog.records import Line, Slug
from catalog.release import releases
from catalog.release.transitions import ReleaseStep
from catalog.run_records import RunRecord, RunState
from catalog.store import now
from catalog.web import launching
from catalog.web.live import Update, live
from catalog.web.pages.chart import charts
from catalog.web.pages.page import Page, Shown

router = APIRouter(prefix="/runs")
Reader = Annotated[Page, Depends(Shown(Action.RUN_READ))]
PER_PAGE = 50
MOST_COMPARED = 6
MOST_ROUNDS = 100
MOST_LOG = 12_000
"""Characters of an app's output on a run's page, from its end; a quote is five bytes of HTML."""
"""Rounds in the table of a run's page, which may be sent several times a second."""
_LATE = timedelta(seconds=30)
"""After this time the card of a run that has ended is no longer waited for."""


@router.get("")
def listing(page: Reader, number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1) -> Response:
    """Show the runs, the newest first."""
    found = runs.newest(page.lab.store, page.account, offset=(number - 1) * PER_PAGE, limit=PER_PAGE + 1)
    return page.show(
        "runs.html",
        runs=found[:PER_PAGE],
        more=len(found) > PER_PAGE,
        number=number,
        releases_wait=len(releases.waiting(page.lab.store, page.account, limit=PER_PAGE)),
    )


@router.get("/compare")
def compare(page: Reader, run: Annotated[list[Slug] | None, Query(max_length=50)] = None) -> Response:
    """Show runs side by side."""
    keys = list(dict.fromkeys(run or []))[:MOST_COMPARED]
    found = [runs.visible(page.lab.store, key, page.account) for key in keys]
    goes = [launching.progress(page.lab, key, page.account) for key in keys]
    used = [_parameters(page, one) for one in found]
    names = sorted({name for one in used for name in one})
    return page.show(
        "compare.html",
        runs=found,
        goes=goes,
        charts=charts({one.id: one.rounds for one in goes}),
        metrics=sorted({name for one in goes for name in one.metrics}),
        parameters={name: [one.get(name) for one in used] for name in names},
    )


@router.get("/{run}")
def one(page: Reader, run: Slug) -> Response:
    """Show a run as it goes on."""
    found, goes = _both(page, run)
    return page.show("run.html", **_values(page, found, goes))


@router.get("/{run}/live")
async def follow(page: Reader, run: Slug, seen: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Send the run's page again whenever it has changed."""

    def look(known: str) -> Update | None:
        if launching.state_of(page.lab, run, page.account) == known:
            return None
        found, goes = _both(page, run)
        return Update(goes.seen, page.render("run_live.html", **_values(page, found, goes)), over=_is_over(found, goes))

    return live(page, Action.RUN_READ, look, seen=seen)


@router.post("/{run}/cancel")
def cancel(page: Annotated[Page, Depends(Shown(Action.RUN_CANCEL))], run: Slug) -> Response:
    """Stop a run, or take it out of the queue."""
    runs.cancel(page.lab.store, run, page.account)
    return page.go(f"/runs/{run}?notice=cancelled")


@router.get("/{run}/files")
def artifact(page: Reader, run: Slug, name: Annotated[Line, Query()]) -> Response:
    """Return one of the files that a run left behind."""
    return launching.artifact(page.lab, run, name, page.account)


@router.get("/{run}/log")
def log(page: Reader, run: Slug) -> Response:
    """Return what a run's app has said at the lab as plain text, as much of its end as the lab keeps."""
    found = runs.visible(page.lab.store, run, page.account)
    return PlainTextResponse(launching.log(page.lab, found, page.account))


def _both(page: Page, run: str) -> tuple[RunRecord, Progress]:
    return runs.visible(page.lab.store, run, page.account), launching.progress(page.lab, run, page.account)


def _values(page: Page, run: RunRecord, goes: Progress) -> dict[str, Any]:
    said = launching.log(page.lab, run, page.account)
    waits = Queue(page.lab.store, page.lab.compute).why(run.id) if run.state is RunState.QUEUED else None
    return {
        "run": run,
        "goes": goes,
        "waits": waits,
        "charts": charts({"": goes.rounds}),
        "log": said[-MOST_LOG:],
        "log_cut": len(said) > MOST_LOG,
        "parameters": _parameters(page, run),
        "app_name": facts.name if (facts := launching.app_of(page.lab, run)) else "",
        "most": MOST_ROUNDS,
        "live": not _is_over(run, goes),
        "cancellable": not goes.over and page.may(Action.RUN_CANCEL),
        "release_steps": [one for one in ReleaseStep if releases.may_take(run, one, page.account)],
        "may_decide": run.release is not None and releases.decides(run.release, page.account),
    }


def _parameters(page: Page, run: RunRecord) -> dict[str, object]:
    """Return what a run works with: from its card, or what was asked for over the app's defaults."""
    if run.card is not None:
        return dict(run.card.get("app", {}).get("config", {}))
    app = launching.app_of(page.lab, run)
    return {**(app.parameters if app else {}), **(run.launch.settings if run.launch else {})}


def _is_over(run: RunRecord, goes: Progress) -> bool:
    late = run.finished is not None and now() - run.finished > _LATE
    return goes.over and (run.card is not None or run.started is None or late)
