"""Projects: their people, datasets and permits; and the public register."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ValidationError

from catalog import permits
from catalog.access import projects, register, requests
from catalog.access.records import Project, ProjectDraft
from catalog.access.transitions import State
from catalog.permissions import Action
from catalog.web.pages.edit import problems_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import AnyPage, Form, Page, Shown
from catalog.web.pages.requests import revision_of
from catalog.web.routes.projects import ProjectId
from datalab.errors import BadInputError

router = APIRouter()
Reader = Annotated[Page, Depends(Shown(Action.PROJECT_READ))]
Writer = Annotated[Page, Depends(Shown(Action.PROJECT_WRITE))]
PER_PAGE = 50
_NOBODY = mark("Everybody named here must have a researcher's account of your organisation in this lab.")


@router.get("/projects")
def listing(page: Reader, after: Annotated[str, Query(max_length=300)] = "") -> Response:
    """Show the projects that the account sees."""
    return _listing(page, after)


@router.post("/projects")
def create(page: Writer, form: Form) -> Response:
    """Start a project."""
    try:
        made = projects.create(page.lab.store, _draft(form), page.account)
    except ValidationError as error:
        return _listing(page, values=form, problems=problems_of(error))
    except BadInputError:
        return _listing(page, values=form, problems={"people": _NOBODY})
    return page.go(f"/projects/{made.id}?notice=project")


@router.get("/projects/{project}")
def one(page: Reader, project: ProjectId) -> Response:
    """Show a project with its requests and permits."""
    found = projects.read(page.lab.store, project, page.account)
    values = {"title": found.title, "description": found.description, "people": ", ".join(found.people)}
    return _one(page, found, values, {})


@router.post("/projects/{project}")
def update(page: Writer, project: ProjectId, form: Form) -> Response:
    """Change a project."""
    try:
        projects.update(page.lab.store, project, _draft(form), revision=revision_of(form), account=page.account)
    except ValidationError as error:
        return _one(page, projects.read(page.lab.store, project, page.account), form, problems_of(error))
    except BadInputError:
        return _one(page, projects.read(page.lab.store, project, page.account), form, {"people": _NOBODY})
    return page.go(f"/projects/{project}?notice=project")


@router.get("/public-register")
def public(page: AnyPage, after: Annotated[str, Query(max_length=300)] = "") -> Response:
    """Show the public register, to anybody."""
    found = register.find(page.lab.store, after=after, limit=PER_PAGE + 1)
    return page.show("public_register.html", entries=found[:PER_PAGE], more=len(found) > PER_PAGE)


def _draft(form: Form) -> ProjectDraft:
    people = tuple(form.get("people", "").replace(",", " ").split())
    description = form.get("description", "").strip()
    return ProjectDraft(title=form.get("title", "").strip(), description=description, people=people)


def _listing(
    page: Page, after: str = "", *, values: Form | None = None, problems: dict[str, str] | None = None
) -> Response:
    found = projects.find(page.lab.store, page.account, after=after, limit=PER_PAGE + 1)
    return page.show(
        "projects.html",
        status=422 if problems else 200,
        projects=found[:PER_PAGE],
        more=len(found) > PER_PAGE,
        values=values or {},
        problems=problems or {},
    )


def _one(page: Page, project: Project, values: Form, problems: dict[str, str]) -> Response:
    store, account = page.lab.store, page.account
    may_see = page.may(Action.REQUEST_READ)
    return page.show(
        "project.html",
        status=422 if problems else 200,
        project=project,
        requests=requests.find(store, account, states=list(State), project=project.id, limit=100) if may_see else [],
        permits=permits.find(store, account, project=project.id, limit=100) if page.may(Action.PERMIT_READ) else [],
        values=values,
        problems=problems,
    )
