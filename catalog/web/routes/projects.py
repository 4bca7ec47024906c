"""Projects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from catalog.access import projects
from catalog.access.records import Project, ProjectDraft
from catalog.permissions import Action
from catalog.records import AccountDraft, Slug
from catalog.web.access import After, Allowed, Limit, Revision, TheLab

router = APIRouter(prefix="/projects", tags=["access"])
ProjectId = Annotated[Slug, Path()]
Reader = Annotated[AccountDraft, Depends(Allowed(Action.PROJECT_READ))]
Writer = Annotated[AccountDraft, Depends(Allowed(Action.PROJECT_WRITE))]


@router.post("", status_code=201)
def create(account: Writer, draft: ProjectDraft, lab: TheLab) -> Project:
    """Start a project."""
    return projects.create(lab.store, draft, account)


@router.get("")
def read_all(account: Reader, lab: TheLab, after: After = "", limit: Limit = 100) -> list[Project]:
    """Return the projects that the account sees, by id."""
    return projects.find(lab.store, account, after=after, limit=limit)


@router.get("/{project}")
def read(account: Reader, project: ProjectId, lab: TheLab) -> Project:
    """Return one project."""
    return projects.read(lab.store, project, account)


@router.put("/{project}")
def update(account: Writer, project: ProjectId, draft: ProjectDraft, revision: Revision, lab: TheLab) -> Project:
    """Change a project that is still at the revision in If-Match."""
    return projects.update(lab.store, project, draft, revision=revision, account=account)
