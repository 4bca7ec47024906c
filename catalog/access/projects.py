"""Projects: whose they are, and who of an organisation works in them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from catalog.access.records import Project, ProjectDraft
from catalog.errors import NotPermittedError
from catalog.records import AccountDraft, Role
from catalog.store import Change, Store, check_revision, now
from datalab.errors import BadInputError, NotFoundError

_SEEN = (
    "($role IN ('access-body', 'auditor') OR ($role = 'researcher' AND (record ->> 'organisation') = $organisation "
    "AND list_contains(record ->> '$.people[*]', $name)))"
)
"""Which projects an account sees: a researcher those in which they work."""


def create(store: Store, draft: ProjectDraft, account: AccountDraft) -> Project:
    """Start a project; BadInputError if one of its people is no researcher of the organisation."""
    moment = now()
    with store.change(account.name) as change:
        project = Project(
            title=draft.title,
            description=draft.description,
            people=_people(change, draft.people, account),
            id=f"project-{uuid.uuid4().hex[:10]}",
            organisation=account.organisation,
            created=moment,
            updated=moment,
            revision=1,
        )
        change.insert("projects", project.id, project)
        change.event("project.created", f"project/{project.id}", people=list(project.people))
    return project


def update(store: Store, key: str, draft: ProjectDraft, *, revision: int, account: AccountDraft) -> Project:
    """Change a project that is still at ``revision``; permits that are granted stay as they are.

    Raises:
        NotFoundError: there is none that the account sees.
        ConflictError: it has changed meanwhile.
        BadInputError: one of its people is no researcher of the organisation.
    """
    with store.change(account.name) as change:
        project = read(change, key, account)
        check_own(project, account)
        check_revision("projects", key, expected=revision, actual=project.revision)
        fields = {"title": draft.title, "description": draft.description}
        people = _people(change, draft.people, account)
        changed = project.model_copy(update={**fields, "people": people, "updated": now(), "revision": revision + 1})
        change.update("projects", key, changed)
        change.event("project.updated", f"project/{key}", people=list(people), revision=changed.revision)
    return changed


def read(records: Store | Change, key: str, account: AccountDraft) -> Project:
    """Return a project; NotFoundError if there is none that the account sees."""
    found = select(records, f"SELECT record FROM projects WHERE id = $id AND {_SEEN}", {"id": key, **who(account)})
    if not found:
        raise NotFoundError(f"There is no project {key} that you can see.", next_step="See the list of your projects.")
    return Project.model_validate_json(found[0][0])


def find(store: Store, account: AccountDraft, *, after: str, limit: int) -> list[Project]:
    """Return the projects that an account sees, by id."""
    query = f"SELECT record FROM projects WHERE id > $after AND {_SEEN} ORDER BY id LIMIT $limit"
    rows = store.rows(query, {"after": after, "limit": limit, **who(account)})
    return [Project.model_validate_json(row[0]) for row in rows]


def check_own(project: Project, account: AccountDraft) -> None:
    """Raise NotPermittedError unless an account works in a project."""
    if account.organisation != project.organisation or account.name not in project.people:
        raise NotPermittedError(
            "Only the people of a project may do this.", where=f"project {project.id}", next_step="Ask one of them."
        )


def accounts(records: Store | Change, names: Iterable[str]) -> dict[str, AccountDraft]:
    """Return those of the named accounts that there are."""
    found = select(records, "SELECT record FROM accounts WHERE list_contains($names, name)", {"names": [*names]})
    every = [AccountDraft.model_validate_json(row[0]) for row in found]
    return {one.name: one for one in every}


def _people(change: Change, named: Iterable[str], account: AccountDraft) -> tuple[str, ...]:
    people = tuple(dict.fromkeys([account.name, *named]))
    known = accounts(change, people)
    for name in people:
        one = known.get(name)
        if one is None or one.role is not Role.RESEARCHER or one.organisation != account.organisation:
            raise BadInputError(
                f"{name} is no researcher of your organisation in this lab.",
                where="people",
                next_step="Check the account's name, or ask the lab's operator to invite them.",
            )
    return people


def who(account: AccountDraft) -> dict[str, str]:
    """Return what the conditions on which records an account sees need to know of it."""
    return {"role": account.role, "organisation": account.organisation, "name": account.name}


def select(records: Store | Change, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a query on what is committed, or inside a change."""
    return records.rows(query, values) if isinstance(records, Store) else records.execute(query, values)
