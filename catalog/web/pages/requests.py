"""Access requests: the list, one request with all that was said, and what its applicant writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ValidationError

from catalog.access import projects, requests
from catalog.access.policy import Lack, compare
from catalog.access.records import AccessRequest, Kind, Project, ProjectDraft, RequestContent, RequestDraft
from catalog.access.requests import IncompleteError, may_take
from catalog.access.transitions import State, Step
from catalog.errors import ConflictError
from catalog.permissions import Action
from catalog.records import Role
from catalog.release import releases
from catalog.web.pages.edit import problems_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from catalog.web.routes.requests import RequestId

router = APIRouter(prefix="/requests")
Reader = Annotated[Page, Depends(Shown(Action.REQUEST_READ))]
Writer = Annotated[Page, Depends(Shown(Action.REQUEST_WRITE))]
PER_PAGE = 25
GROUPS: dict[str, tuple[str, tuple[State, ...]]] = {
    "outstanding": (mark("Outstanding"), (State.SUBMITTED, State.APPROVED)),
    "returned": (mark("Returned"), (State.RETURNED,)),
    "decided": (mark("Decided"), (State.GRANTED, State.ANSWERED, State.REJECTED, State.WITHDRAWN)),
    "drafts": (mark("Drafts"), (State.DRAFT,)),
}
"""The lists of requests, by the address's ``show``."""
_NO_TITLE = mark("Choose a project, or give a new one a name.")
_NO_WORDS = mark("Write something first.")


@router.get("")
def listing(page: Reader, show: str = "outstanding", number: Annotated[int, Query(alias="page", ge=1)] = 1) -> Response:
    """Show the requests of one group, those that changed last first."""
    groups = {name: one for name, one in GROUPS.items() if name != "drafts" or page.account.role is Role.RESEARCHER}
    show = show if show in groups else "outstanding"
    counts = requests.count(page.lab.store, page.account)
    first = (min(number, 1_000_000) - 1) * PER_PAGE
    found = requests.find(page.lab.store, page.account, states=groups[show][1], offset=first, limit=PER_PAGE + 1)
    return page.show(
        "requests.html",
        requests=found[:PER_PAGE],
        more=len(found) > PER_PAGE,
        number=number,
        show=show,
        releases_wait=len(releases.waiting(page.lab.store, page.account, limit=PER_PAGE)),
        groups=[(name, title, sum(counts.get(one, 0) for one in states)) for name, (title, states) in groups.items()],
    )


@router.get("/new")
def begin_form(page: Writer, dataset: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Ask what is wanted, and for which project."""
    return _begin(page, {"datasets": dataset, "kind": Kind.DATA})


@router.post("")
def begin(page: Writer, form: Form) -> Response:
    """Begin a request, and its project if that is new; the rest is written into the draft."""
    kind, named = form.get("kind", ""), form.get("project", "")
    title = form.get("title", "").strip()
    if kind not in set(Kind) or not (named or title):
        return _begin(
            page, form, {"kind": mark("Choose one from the list.")} if named or title else {"title": _NO_TITLE}
        )
    asked = _words(form.get("datasets", ""))
    if not requests.datasets(page.lab.store, asked).keys() >= set(asked):
        return _begin(page, form, {"datasets": str(Lack.UNKNOWN_DATASET)})
    try:
        draft = RequestDraft(kind=Kind(kind), project=named or "new", datasets=asked)
        project = projects.read(page.lab.store, named, page.account) if named else _project(page, title)
        people = project.people if kind == Kind.DATA else ()
        draft = draft.model_copy(update={"project": project.id, "people": people})
    except ValidationError as error:
        return _begin(
            page, form, {"title" if "title" in problems_of(error) else "datasets": mark("This is not valid.")}
        )
    return page.go(f"/requests/{requests.create(page.lab.store, draft, page.account).id}/edit")


@router.get("/{request}")
def one(page: Reader, request: RequestId) -> Response:
    """Show a request, beside its datasets' own terms, and what was said about it."""
    return show(page, requests.read(page.lab.store, request, page.account))


@router.get("/{request}/edit")
def edit_form(page: Writer, request: RequestId) -> Response:
    """Show a draft in a form."""
    found = requests.read(page.lab.store, request, page.account)
    if not may_take(found, Step.EDIT, page.account):
        return page.go(f"/requests/{request}")
    return _edit(page, found, _values(found))


@router.post("/{request}/edit")
def edit(page: Writer, request: RequestId, form: Form) -> Response:
    """Keep what was written, and hand the request in where that was asked for."""
    found = requests.read(page.lab.store, request, page.account)
    try:
        content = RequestContent.model_validate(_fields(form))
        kept = requests.edit(page.lab.store, request, content, revision=revision_of(form), account=page.account)
        if form.get("do") == "submit":
            requests.submit(page.lab.store, request, revision=kept.revision, account=page.account)
            return page.go(f"/requests/{request}?notice=submitted")
    except ValidationError as error:
        return _edit(page, found, form, problems_of(error), status=422)
    except IncompleteError as error:
        problems: dict[str, str] = {field: str(lack) for field, lack in error.lacks.items()}
        return _edit(page, requests.read(page.lab.store, request, page.account), form, problems, status=422)
    except ConflictError:
        if not may_take(found, Step.EDIT, page.account):
            raise
        return _edit(page, found, form, changed=True, status=409)
    return page.go(f"/requests/{request}/edit?notice=draft")


@router.get("/{request}/withdraw")
def withdraw_form(page: Writer, request: RequestId) -> Response:
    """Ask whether a request is to be taken back."""
    return page.show("request_withdraw.html", request=requests.read(page.lab.store, request, page.account))


@router.post("/{request}/withdraw")
def withdraw(page: Writer, request: RequestId, form: Form) -> Response:
    """Take a request back."""
    requests.withdraw(page.lab.store, request, revision=revision_of(form), account=page.account)
    return page.go(f"/requests/{request}?notice=request-withdrawn")


@router.post("/{request}/comments")
def comment(page: Annotated[Page, Depends(Shown(Action.REQUEST_COMMENT))], request: RequestId, form: Form) -> Response:
    """Say something about a request."""
    text = form.get("text", "").strip()
    if not text or len(text) > 10_000:
        found = requests.read(page.lab.store, request, page.account)
        return show(page, found, problem=_NO_WORDS if not text else mark("This is too long."), text=text, status=422)
    requests.comment(page.lab.store, request, text, page.account)
    return page.go(f"/requests/{request}?notice=commented")


def show(page: Page, request: AccessRequest, *, problem: str = "", text: str = "", status: int = 200) -> Response:
    """Show a request's own page."""
    known = requests.datasets(page.lab.store, request.datasets)
    return page.show(
        "request.html",
        status=status,
        request=request,
        comparisons=compare(request, [*known.values()]),
        steps={one for one in Step if may_take(request, one, page.account)},
        Step=Step,
        problem=problem,
        text=text,
    )


def revision_of(form: Mapping[str, str]) -> int:
    """Return the revision of the record that a form was made from; 0, which no record has, if it says none."""
    text = form.get("revision", "")
    return int(text) if text.isdecimal() and len(text) < 8 else 0


def _begin(page: Page, values: Mapping[str, str], problems: Mapping[str, str] | None = None) -> Response:
    return page.show(
        "request_new.html",
        status=422 if problems else 200,
        projects=projects.find(page.lab.store, page.account, after="", limit=200),
        values=values,
        problems=problems or {},
    )


def _project(page: Page, title: str) -> Project:
    return projects.create(page.lab.store, ProjectDraft(title=title), page.account)


def _edit(
    page: Page,
    request: AccessRequest,
    values: Mapping[str, str],
    problems: Mapping[str, str] | None = None,
    *,
    changed: bool = False,
    status: int = 200,
) -> Response:
    project = projects.read(page.lab.store, request.project, page.account)
    return page.show(
        "request_edit.html",
        status=status,
        request=request,
        project=project,
        people=[(name, name) for name in project.people],
        kept=problems is not None and set(problems.values()) <= {str(one) for one in Lack},
        values=values,
        problems=problems or {},
        changed=changed,
    )


def _values(request: AccessRequest) -> dict[str, str]:
    """Return what a request says, as its form has it."""
    fields = request.model_dump(include=set(RequestContent.model_fields))
    lists = {"datasets": ", ".join(request.datasets), "people": " ".join(request.people)}
    return {**{name: str(value or "") for name, value in fields.items()}, **lists}


def _fields(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what a form says; what was left empty is left out."""
    said: dict[str, Any] = {name: text for name in RequestContent.model_fields if (text := form.get(name, "").strip())}
    for name in ("datasets", "people"):
        said[name] = _words(form.get(name, ""))
    return {**said, "undertaken": bool(said.get("undertaken"))}


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))
