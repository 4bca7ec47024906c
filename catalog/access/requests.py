"""Access requests: who sees them, and what the applicant does with them: write, submit, withdraw, renew."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from catalog.access import projects
from catalog.access.policy import Lack, deciding_holder, lacks
from catalog.access.records import MOST_ENTRIES, AccessRequest, Entry, Kind, PermitRecord, RequestContent, RequestDraft
from catalog.access.transitions import REQUEST, Party, State, Step, follow
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import AccountDraft, Dataset, Line, Role
from catalog.store import Change, Store, check_revision, now
from datalab.errors import BadInputError, NotFoundError

_SEEN = """
($role = 'researcher' AND (record ->> 'organisation') = $organisation
    AND ((record ->> 'applicant') = $name OR list_contains(record ->> '$.people[*]', $name)))
OR ((record ->> 'submitted') IS NOT NULL AND (
    $role = 'auditor'
    OR ($role = 'access-body' AND (record ->> 'steward_of') IS NULL)
    OR ($role = 'steward' AND list_contains(record ->> '$.holders[*]', $organisation))))
"""
"""Which requests an account sees: its own and those it is named in; drafts are nobody else's."""


class IncompleteError(BadInputError):
    """A request cannot be submitted yet.

    Attributes:
        lacks: what it lacks, by field.
    """

    def __init__(self, request: str, lacks: dict[str, Lack]) -> None:
        said = "; ".join(f"{field}: {lack}" for field, lack in lacks.items())
        super().__init__(f"The request cannot be submitted yet: {said}", where=request, next_step="Edit it first.")
        self.lacks = lacks


def create(store: Store, draft: RequestDraft, account: AccountDraft, *, renews: Line | None = None) -> AccessRequest:
    """Begin a request in one of the applicant's projects; it is a draft, which nobody else sees but who is named."""
    moment, key = now(), f"request-{uuid.uuid4().hex[:10]}"
    with store.change(account.name) as change:
        project = projects.read(change, draft.project, account)
        projects.check_own(project, account)
        request = AccessRequest(
            **draft.model_dump(),
            id=key,
            organisation=account.organisation,
            applicant=account.name,
            project_title=project.title,
            state=State.DRAFT,
            renews=renews,
            created=moment,
            updated=moment,
            revision=1,
        )
        change.insert("requests", key, request)
        change.event("request.created", f"request/{key}", project=project.id, kind=request.kind)
    return request


def renew(store: Store, permit: str, account: AccountDraft) -> AccessRequest:
    """Begin a request for a permit that follows another one, with what the last one's request said.

    Raises:
        NotFoundError: there is no such permit.
        NotPermittedError: the account is not named in it.
        ConflictError: it was not asked for in this lab.
    """
    old = store.get(PermitRecord, "permits", permit)
    if account.organisation != old.claims.data_user or account.name not in old.claims.people:
        raise NotPermittedError(
            "Only the people of a permit may ask for its renewal.",
            where=f"permit {permit}",
            next_step="Ask one of them.",
        )
    if old.request is None:
        raise ConflictError(
            "This permit was not asked for in this lab, so there is no request to start from.",
            where=f"permit {permit}",
            next_step="Make a new request from the page of one of its datasets.",
        )
    before = read(store, old.request, account)
    content = {name: getattr(before, name) for name in RequestContent.model_fields}
    draft = RequestDraft(**{**content, "undertaken": False}, kind=before.kind, project=before.project)
    return create(store, draft, account, renews=permit)


def edit(store: Store, key: str, content: RequestContent, *, revision: int, account: AccountDraft) -> AccessRequest:
    """Write what a request says, while it is a draft or returned; anything may still be missing."""
    with store.change(account.name) as change:
        request = step(change, key, Step.EDIT, account, revision=revision)
        fields = {name: getattr(content, name) for name in RequestContent.model_fields}
        return put(change, request, "request.edited", **fields)


def submit(store: Store, key: str, *, revision: int, account: AccountDraft) -> AccessRequest:
    """Hand a request in; from then on those who assess and decide see it.

    Raises:
        IncompleteError: it lacks something.
    """
    with store.change(account.name) as change:
        request = step(change, key, Step.SUBMIT, account, revision=revision)
        project = projects.read(change, request.project, account)
        named = datasets(change, request.datasets)
        found = lacks(request, named, projects.accounts(change, request.people), request.organisation)
        if not found and request.kind is Kind.DATA and set(request.people) - set(project.people):
            found["people"] = Lack.OUTSIDE_PROJECT
        if found:
            raise IncompleteError(key, found)
        return put(
            change,
            request,
            "request.submitted",
            project_title=project.title,
            holders=tuple(sorted({one.holder for one in named.values()})),
            steward_of=deciding_holder(named.values()),
            two_people=any(one.two_people for one in named.values()),
            terms=None,
            approvals=(),
            submitted=now(),
        )


def withdraw(store: Store, key: str, *, revision: int, account: AccountDraft) -> AccessRequest:
    """Take a request back for good, as long as no permit is granted."""
    with store.change(account.name) as change:
        return put(change, step(change, key, Step.WITHDRAW, account, revision=revision), "request.withdrawn")


def comment(store: Store, key: str, text: str, account: AccountDraft) -> AccessRequest:
    """Say something about a request to everybody who sees it; its revision stays."""
    with store.change(account.name) as change:
        request = read(change, key, account)
        made = request.model_copy(update={"thread": (*request.thread, entry(request, account, text))})
        change.update("requests", key, made)
        change.event("request.commented", f"request/{key}")
    return made


def read(records: Store | Change, key: str, account: AccountDraft) -> AccessRequest:
    """Return a request; NotFoundError if there is none that the account sees."""
    query, values = f"SELECT record FROM requests WHERE id = $id AND ({_SEEN})", {"id": key, **projects.who(account)}
    found = projects.select(records, query, values)
    if not found:
        raise NotFoundError(f"There is no request {key} that you can see.", next_step="See the list of requests.")
    return AccessRequest.model_validate_json(found[0][0])


def find(
    store: Store, account: AccountDraft, *, states: Collection[State], project: str = "", offset: int = 0, limit: int
) -> list[AccessRequest]:
    """Return the requests in one of ``states`` that an account sees, those that changed last first."""
    rows = store.rows(
        f"SELECT record FROM requests WHERE ({_SEEN}) AND list_contains($states, record ->> 'state') "
        "AND ($project = '' OR (record ->> 'project') = $project) "
        "ORDER BY (record ->> 'updated') DESC, id LIMIT $limit OFFSET $offset",
        {"states": [*states], "project": project, "offset": offset, "limit": limit, **projects.who(account)},
    )
    return [AccessRequest.model_validate_json(row[0]) for row in rows]


def count(store: Store, account: AccountDraft) -> dict[State, int]:
    """Return how many requests an account sees in each state."""
    rows = store.rows(
        f"SELECT record ->> 'state' AS state, count(*) FROM requests WHERE ({_SEEN}) GROUP BY state",
        projects.who(account),
    )
    return {State(state): number for state, number in rows}


def datasets(records: Store | Change, names: Sequence[str]) -> dict[str, Dataset]:
    """Return those of the named datasets that there are, by id."""
    query, values = "SELECT record FROM datasets WHERE list_contains($names, id) ORDER BY id", {"names": [*names]}
    found = projects.select(records, query, values)
    every = [Dataset.model_validate_json(row[0]) for row in found]
    return {one.id: one for one in every}


def is_party(request: AccessRequest, party: Party, account: AccountDraft) -> bool:
    """Return whether an account is one of those whose word a step needs."""
    if party is Party.APPLICANT:
        return account.role is Role.RESEARCHER and account.name == request.applicant
    if request.steward_of is None:
        decides = account.role is Role.ACCESS_BODY
    else:
        decides = account.role is Role.STEWARD and account.organisation == request.steward_of
    assesses = account.role is Role.STEWARD and account.organisation in request.holders
    return decides or (party is Party.ASSESSOR and assesses)


def may_take(request: AccessRequest, one: Step, account: AccountDraft) -> bool:
    """Return whether an account may take a step now."""
    return request.state in REQUEST[one].sources and is_party(request, REQUEST[one].by, account)


def step(change: Change, key: str, one: Step, account: AccountDraft, *, revision: int) -> AccessRequest:
    """Return a request with the state that a step leads to, if this account may take it now.

    Raises:
        NotFoundError: there is none that the account sees.
        NotPermittedError: the step needs somebody else's word.
        ConflictError: the request has changed meanwhile, or the step does not follow its state.
    """
    request = read(change, key, account)
    if not is_party(request, REQUEST[one].by, account):
        raise NotPermittedError(
            f"To {one} a request is for its {REQUEST[one].by}.", where=key, next_step="Leave a comment instead."
        )
    state = follow(one, request.state, key)
    check_revision("requests", key, expected=revision, actual=request.revision)
    return request.model_copy(update={"state": state})


def put(change: Change, request: AccessRequest, event: str, **fields: Any) -> AccessRequest:
    """Write a changed request and its event, which says nothing of what people wrote."""
    made = AccessRequest.model_validate({**dict(request), **fields, "updated": now(), "revision": request.revision + 1})
    change.update("requests", made.id, made)
    change.event(event, f"request/{made.id}", state=made.state, revision=made.revision)
    return made


def entry(request: AccessRequest, account: AccountDraft, text: str, one: Step | None = None) -> Entry:
    """Return what somebody says about a request; ConflictError where too much was said already."""
    if len(request.thread) >= MOST_ENTRIES:
        raise ConflictError("There are too many comments.", where=request.id, next_step="Make a new request.")
    moment: datetime = now()
    return Entry(by=account.name, role=account.role, time=moment, step=one, text=text)
