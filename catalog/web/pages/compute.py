"""How runs share what there is: shares and use, quotas, the queue and why each run waits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from catalog.fairshare import HOUR
from catalog.permissions import Action
from catalog.queue import Queue
from catalog.records import Role
from catalog.web.pages.page import Page, Shown

router = APIRouter(prefix="/compute")


@router.get("")
def overview(page: Annotated[Page, Depends(Shown(Action.RUN_READ))]) -> Response:
    """Show the queue; of other organisations' runs, a researcher learns that they are there and no more."""
    rules = page.lab.compute
    queue = Queue(page.lab.store, rules)
    researcher = page.account.role is Role.RESEARCHER
    own = page.account.organisation
    names = {own} if researcher else {*queue.used, *rules.organisations}
    organisations = [
        (name, rules.organisation(name), queue.used[name].period / HOUR if name in queue.used else 0.0)
        for name in sorted(names)
    ]
    total = sum(rules.shares.values())
    return page.show(
        "compute.html",
        rules=rules,
        queue=queue,
        taken=sum(len(run.nodes) for run in queue.working),
        shares=[(kind, share / total, queue.decision.standing[kind]) for kind, share in rules.shares.items()],
        organisations=organisations,
        seen=lambda run: not researcher or run.organisation == own,
    )
