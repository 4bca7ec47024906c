"""Federated runs: asking for one, watching it, and those on record."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from catalog import queue, runs
from catalog.launch import AppFacts, DryRun, Work
from catalog.permissions import Action
from catalog.progress import Progress
from catalog.records import AccountDraft, Line, Slug
from catalog.release import releases
from catalog.release.records import ReleaseAsk, ReleaseDecision
from catalog.run_records import Launch, RunDraft, RunPatch, RunRecord
from catalog.web import launching
from catalog.web.access import After, Allowed, Limit, Revision, TheLab
from federation import lab as federation

router = APIRouter(tags=["runs"])
_Reader = Annotated[AccountDraft, Depends(Allowed(Action.RUN_READ))]
_Submitter = Annotated[AccountDraft, Depends(Allowed(Action.RUN_SUBMIT))]
_Asker = Annotated[AccountDraft, Depends(Allowed(Action.RELEASE_ASK))]
Wait = Annotated[float, Query(ge=0, le=30)]
MAX_APP = 64 << 20
_PAUSE = 0.1


@router.get("/apps", dependencies=[Depends(Allowed(Action.RUN_SUBMIT))])
def apps(lab: TheLab) -> list[AppFacts]:
    """Return the app templates."""
    return federation.apps(lab.home)


@router.post("/apps", status_code=201)
async def upload_app(account: _Submitter, request: Request, lab: TheLab) -> AppFacts:
    """Keep a Flower app (the body is its bundle); nodes run it only once their operators have approved it."""
    request.state.max_body = MAX_APP
    bundle = await request.body()
    return await run_in_threadpool(launching.keep_app, lab, bundle, account)


@router.post("/runs/dry-run")
def dry_run(account: _Submitter, launch: Launch, lab: TheLab) -> DryRun:
    """Say for each site whether permit, policy, schema and node allow a run; nothing is started."""
    return launching.dry_run(lab, launch, account)


@router.post("/runs/queue", status_code=201)
def submit(account: _Submitter, launch: Launch, lab: TheLab) -> RunRecord:
    """Put a run into the queue."""
    return launching.submit(lab, launch, account)


@router.post("/runs/claims")
async def claim(
    account: Annotated[AccountDraft, Depends(Allowed(Action.RUN_CLAIM))],
    lab: TheLab,
    known: Annotated[list[Slug] | None, Query()] = None,
    wait: Wait = 0,
) -> Work:
    """Return what the scheduler is to do next, as soon as there is something."""
    end = asyncio.get_running_loop().time() + wait
    while True:
        work = await run_in_threadpool(queue.take, lab.store, lab.compute, known or [], account)
        if work.start or work.stop or work.lost or asyncio.get_running_loop().time() >= end:
            return work
        await asyncio.sleep(_PAUSE)


@router.post("/runs", status_code=201)
def create(
    draft: RunDraft, lab: TheLab, account: Annotated[AccountDraft, Depends(Allowed(Action.RUN_CREATE))]
) -> RunRecord:
    """Record a run as submitted."""
    return runs.create(lab.store, draft, account)


@router.get("/runs")
def read_all(account: _Reader, lab: TheLab, after: After = "", limit: Limit = 100) -> list[RunRecord]:
    """Return runs by id, those after ``after``; to a researcher, those of their organisation."""
    return runs.by_id(lab.store, account, after=after, limit=limit)


@router.get("/runs/{run}")
def read(account: _Reader, run: Slug, lab: TheLab) -> RunRecord:
    """Return one run."""
    return runs.visible(lab.store, run, account)


@router.get("/runs/{run}/progress")
async def progress(
    account: _Reader, run: Slug, lab: TheLab, seen: Annotated[str, Query(max_length=200)] = "", wait: Wait = 0
) -> Progress:
    """Return how a run goes, as soon as that is another state than ``seen``."""
    end = asyncio.get_running_loop().time() + wait
    while True:
        state = await run_in_threadpool(launching.state_of, lab, run, account)
        if state != seen or asyncio.get_running_loop().time() >= end:
            return await run_in_threadpool(launching.progress, lab, run, account)
        await asyncio.sleep(_PAUSE)


@router.post("/runs/{run}/cancellation")
def cancel(account: Annotated[AccountDraft, Depends(Allowed(Action.RUN_CANCEL))], run: Slug, lab: TheLab) -> RunRecord:
    """Stop a run, or take it out of the queue."""
    return runs.cancel(lab.store, run, account)


@router.get("/runs/{run}/artifacts")
def artifact(account: _Reader, run: Slug, name: Annotated[Line, Query()], lab: TheLab) -> Response:
    """Return one of the files that a run left behind."""
    return launching.artifact(lab, run, name, account)


@router.post("/runs/{run}/release-request", status_code=201)
def ask_release(account: _Asker, run: Slug, said: ReleaseAsk, lab: TheLab) -> RunRecord:
    """Ask for the release of what a run left behind, where that is needed."""
    return launching.ask_release(lab, run, said.text, account)


@router.post("/runs/{run}/release-withdrawal")
def withdraw_release(account: _Asker, run: Slug, lab: TheLab) -> RunRecord:
    """Take back what was asked."""
    return releases.shown(releases.withdraw(lab.store, run, account), account)


@router.post("/runs/{run}/release")
def decide_release(
    account: Annotated[AccountDraft, Depends(Allowed(Action.RELEASE_DECIDE))],
    run: Slug,
    decision: ReleaseDecision,
    lab: TheLab,
) -> RunRecord:
    """Release what a run left behind, or some of its files; refuse that; or take a release back."""
    return releases.decide(lab.store, run, decision, account)


@router.get("/releases")
def waiting_releases(
    account: Annotated[AccountDraft, Depends(Allowed(Action.RELEASE_READ))], lab: TheLab, limit: Limit = 100
) -> list[RunRecord]:
    """Return the runs whose release the account has to decide on, those that were asked for first."""
    return releases.waiting(lab.store, account, limit=limit)


@router.patch("/runs/{run}")
def update(
    account: Annotated[AccountDraft, Depends(Allowed(Action.RUN_UPDATE))],
    run: Slug,
    patch: RunPatch,
    revision: Revision,
    lab: TheLab,
) -> RunRecord:
    """Change a run that is still at the revision in If-Match."""
    return runs.update(lab.store, run, patch, revision=revision, account=account)
