"""The list of datasets, and the pages of one dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ValidationError

from catalog import datasets, permits
from catalog.permissions import Action, may
from catalog.records import AccountDraft, Dataset, PermitRecord, Role, Version
from catalog.search.model import FACETS, MAX_PAGE, SearchPage, SearchQuery
from catalog.web.access import DatasetId
from catalog.web.pages.language import mark
from catalog.web.pages.page import Page, Shown
from datalab.boundary import bad_field

router = APIRouter(prefix="/datasets")
Reader = Annotated[Page, Depends(Shown(Action.DATASET_READ))]
TABS = {
    "": mark("Overview"),
    "schema": mark("Schema"),
    "quality": mark("Quality"),
    "versions": mark("Versions"),
    "access": mark("Access"),
    "activity": mark("Activity"),
}
SORTED_BY = {
    "relevance": mark("Relevance"),
    "title": mark("Title"),
    "updated": mark("Last changed"),
    "rows": mark("Number of rows"),
}
FACET = {
    "access": mark("Access"),
    "use": mark("Use"),
    "theme": mark("Theme"),
    "modality": mark("Modality"),
    "country": mark("Country"),
    "holder": mark("Data holder"),
    "licence": mark("Licence"),
}
"""The facets, in the order in which they are shown."""


@dataclass(frozen=True)
class Difference:
    """What a version changed against the one before: columns, rows, and checks that pass no more or again."""

    added: Sequence[str]
    removed: Sequence[str]
    rows: int | None
    newly_failed: Sequence[str]
    newly_passed: Sequence[str]


@router.get("")
def listing(
    page: Reader,
    q: Annotated[str, Query(max_length=300)] = "",
    sort: str = "relevance",
    number: Annotated[int, Query(alias="page", ge=1, le=MAX_PAGE)] = 1,
) -> Response:
    """Show the datasets that were looked for."""
    asked = page.request.query_params
    filters = {name: tuple(asked.getlist(name)) for name in FACETS if asked.getlist(name)}
    sort = sort if sort in SORTED_BY else "relevance"
    query = {"text": q, "filters": filters, "sort": sort}
    found = _search(page, {**query, "page": number})
    if number > max(1, found.pages):
        found = _search(page, {**query, "page": max(1, found.pages)})
    return page.show(
        "datasets.html",
        found=found,
        q=q,
        filters=filters,
        chosen=[(name, value) for name, values in filters.items() for value in values],
        sort=sort,
        sorted_by=SORTED_BY,
        facet=FACET,
    )


@router.get("/{dataset}")
def overview(page: Reader, dataset: DatasetId) -> Response:
    """Show what a dataset is."""
    return _tab(page, dataset, "")


@router.get("/{dataset}/schema")
def schema(page: Reader, dataset: DatasetId) -> Response:
    """Show the columns of the latest version."""
    return _tab(page, dataset, "schema")


@router.get("/{dataset}/quality")
def quality(page: Reader, dataset: DatasetId) -> Response:
    """Show every check over the versions."""
    return _tab(page, dataset, "quality")


@router.get("/{dataset}/versions")
def versions(page: Reader, dataset: DatasetId) -> Response:
    """Show the versions and what each changed."""
    return _tab(page, dataset, "versions")


@router.get("/{dataset}/access")
def access(page: Reader, dataset: DatasetId) -> Response:
    """Show on what terms a dataset may be used, and under which permits it is."""
    return _tab(page, dataset, "access")


@router.get("/{dataset}/activity")
def activity(page: Annotated[Page, Depends(Shown(Action.EVENT_READ))], dataset: DatasetId) -> Response:
    """Show what was done with a dataset."""
    return _tab(page, dataset, "activity")


def may_change(account: AccountDraft, dataset: Dataset) -> bool:
    """Return whether an account may change a dataset."""
    own = account.role is not Role.STEWARD or account.organisation == dataset.holder
    return own and may(account.role, Action.DATASET_UPDATE)


def _search(page: Page, asked: Mapping[str, object]) -> SearchPage:
    try:
        query = SearchQuery.model_validate(asked)
    except ValidationError as error:
        raise bad_field("The search", error, next_step="Take the filter away.") from error
    return page.lab.search.search(query, lambda version, dataset: datasets.shown(version, dataset, page.account))


def _tab(page: Page, key: str, tab: str) -> Response:
    dataset = page.lab.store.get(Dataset, "datasets", key)
    made = [datasets.shown(one, dataset, page.account) for one in datasets.versions(page.lab.store, key)]
    tabs = {name: title for name, title in TABS.items() if name != "activity" or page.may(Action.EVENT_READ)}
    return page.show(
        "dataset.html",
        dataset=dataset,
        changed=max([dataset.updated, *(one.created for one in made)]),
        versions=made,
        differences=_differences(made),
        permits=_permits(page, key) if tab == "access" else (),
        events=page.lab.store.find_events(subject=f"dataset/{key}", limit=100) if tab == "activity" else (),
        tab=tab,
        tabs=tabs,
        may_change=may_change(page.account, dataset),
    )


def _permits(page: Page, dataset: str) -> list[PermitRecord]:
    if not page.may(Action.PERMIT_READ):
        return []
    return permits.find(page.lab.store, page.account, dataset=dataset, limit=1000)


def _differences(made: Sequence[Version]) -> dict[int, Difference]:
    """Return, by number, what each version but the first changed."""
    return {after.number: _difference(before, after) for before, after in pairwise(made)}


def _difference(before: Version, after: Version) -> Difference:
    columns = [{one.name for one in version.report.columns} for version in (before, after)]
    passed = [{one.name: one.passed for one in version.report.checks} for version in (before, after)]
    rows = (before.report.rows, after.report.rows)
    return Difference(
        added=sorted(columns[1] - columns[0]),
        removed=sorted(columns[0] - columns[1]),
        rows=None if rows[0] is None or rows[1] is None else rows[1] - rows[0],
        newly_failed=sorted(name for name, good in passed[1].items() if not good and passed[0].get(name, True)),
        newly_passed=sorted(name for name, good in passed[1].items() if good and not passed[0].get(name, True)),
    )
