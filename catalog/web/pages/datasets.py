"""The list of datasets, and the pages of one dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from catalog import datasets, downloads, lifecycle, permits, processing
from catalog.access.records import PermitRecord
from catalog.compare import Comparison, compare
from catalog.permissions import Action, check_holder, may
from catalog.processing_forms import Form
from catalog.records import AccountDraft, Dataset, Number, Role, Version
from catalog.search.model import FACETS, MAX_PAGE, SearchPage, SearchQuery
from catalog.standards.requirements import readiness
from catalog.store import now
from catalog.web.access import DatasetId, VersionNumber
from catalog.web.pages.curation import STAGE
from catalog.web.pages.language import mark
from catalog.web.pages.lineage import StageRun, stage_runs
from catalog.web.pages.page import Page, Shown
from catalog.web.pages.profile import profile_of
from datalab.boundary import bad_field
from datalab.errors import NotFoundError

router = APIRouter(prefix="/datasets")
Reader = Annotated[Page, Depends(Shown(Action.DATASET_READ))]
TABS = {
    "": mark("Overview"),
    "schema": mark("Schema"),
    "profile": mark("Profile"),
    "quality": mark("Quality"),
    "lineage": mark("Lineage"),
    "versions": mark("Versions"),
    "compare": mark("Compare"),
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
    "extent": mark("Rows"),
    "source": mark("Catalogue"),
}
"""The facets, in the order in which they are shown."""


EXPORTS = {
    "dcat-ap.ttl": "DCAT-AP (Turtle)",
    "dcat-ap.jsonld": "DCAT-AP (JSON-LD)",
    "healthdcat-ap.ttl": "HealthDCAT-AP (Turtle)",
    "healthdcat-ap.jsonld": "HealthDCAT-AP (JSON-LD)",
    "croissant": "Croissant",
    "odrl": "ODRL",
    "frictionless": "Frictionless",
    "schema.csv": "CSV",
}
"""Forms of a dataset for others, by their proper names."""


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
        catalogues=page.lab.harvester.names(),
    )


@router.get("/{dataset}")
def overview(page: Reader, dataset: DatasetId) -> Response:
    """Show what a dataset is."""
    return _tab(page, dataset, "")


@router.get("/{dataset}/schema")
def schema(page: Reader, dataset: DatasetId) -> Response:
    """Show the columns of the latest version."""
    return _tab(page, dataset, "schema")


@router.get("/{dataset}/profile")
def profile(page: Reader, dataset: DatasetId) -> Response:
    """Show how the values of the latest version are spread, as far as that may be told."""
    return _tab(page, dataset, "profile")


@router.get("/{dataset}/quality")
def quality(page: Reader, dataset: DatasetId) -> Response:
    """Show every check over the versions."""
    return _tab(page, dataset, "quality")


@router.get("/{dataset}/lineage")
def lineage(page: Reader, dataset: DatasetId) -> Response:
    """Show how each version came about."""
    return _tab(page, dataset, "lineage")


@router.get("/{dataset}/versions")
def versions(page: Reader, dataset: DatasetId) -> Response:
    """Show the versions and what each changed."""
    return _tab(page, dataset, "versions")


@router.get("/{dataset}/versions/{number}/files/{file}")
def file(
    page: Annotated[Page, Depends(Shown(Action.VERSION_DOWNLOAD))],
    dataset: DatasetId,
    number: VersionNumber,
    file: Annotated[int, Path(ge=0, lt=1_000_000)],
) -> Response:
    """Send the browser to a file of anonymous data, by an address that is good for a minute."""
    lifecycle.read(page.lab.store, dataset, page.account)
    version = datasets.version(page.lab.store, dataset, number)
    address = downloads.download_address(page.lab.store, page.lab.objects, version, file, page.account)
    return RedirectResponse(address, status_code=303)


@router.get("/{dataset}/compare")
def comparison(
    page: Reader,
    dataset: DatasetId,
    before: Annotated[Number | None, Query()] = None,
    after: Annotated[Number | None, Query()] = None,
) -> Response:
    """Show two versions beside each other: the last two, unless others are asked for."""
    return _tab(page, dataset, "compare", compared=(before, after))


@router.get("/{dataset}/access")
def access(page: Reader, dataset: DatasetId) -> Response:
    """Show on what terms a dataset may be used, and under which permits it is."""
    return _tab(page, dataset, "access")


@router.get("/{dataset}/processing/{form}")
def processing_record(
    page: Annotated[Page, Depends(Shown(Action.PROCESSING_READ))], dataset: DatasetId, form: Form
) -> Response:
    """Hand out the record of processing (GDPR Art. 30) or material for an impact assessment (Art. 35)."""
    found = lifecycle.read(page.lab.store, dataset, page.account)
    check_holder(page.account, found.holder)
    text, media_type = processing.text(page.lab.store, [found], form, now())
    name = f"{dataset}-{form.partition('.')[0]}.{'json' if form.endswith('json') else 'md'}"
    return Response(text, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


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
    return page.lab.search.search(query, lambda dataset: datasets.shows_counts(dataset, page.account))


def _tab(page: Page, key: str, tab: str, *, compared: tuple[int | None, int | None] = (None, None)) -> Response:
    dataset = lifecycle.read(page.lab.store, key, page.account)
    made = [datasets.shown(one, dataset, page.account) for one in datasets.versions(page.lab.store, key)]
    comparison = None
    if tab == "compare":
        last = made[-1].number if made else 1
        after = compared[1] or last
        comparison = compare(_one(made, compared[0] or max(1, after - 1)), _one(made, after))
    hidden = {
        name for name, shown in {"activity": page.may(Action.EVENT_READ), "compare": len(made) > 1}.items() if not shown
    }
    may_submit = page.may(Action.RUN_SUBMIT)
    held = _permits(page, key) if may_submit or tab == "access" else []
    tabs = {name: title for name, title in TABS.items() if name not in hidden or name == tab}
    return page.show(
        "dataset.html",
        dataset=dataset,
        changed=max([dataset.updated, *(one.created for one in made)]),
        versions=made,
        changes=_changes(made) if tab == "versions" else {},
        downloadable=_downloadable(page, dataset, made if tab == "versions" else made[-1:]),
        file_name=downloads.file_name,
        stages=_stages(page, dataset, made) if tab == "lineage" else {},
        stage=STAGE,
        comparison=comparison,
        profile=profile_of(made[-1].report) if made and tab == "profile" else (),
        permits=held if tab == "access" else (),
        events=page.lab.store.find_events(subject=f"dataset/{key}", limit=100) if tab == "activity" else (),
        tab=tab,
        tabs=tabs,
        forms=_forms(dataset, made),
        may_change=may_change(page.account, dataset),
        may_watch=page.may(Action.UPLOAD_READ) and datasets.sees_counts(dataset, page.account),
        may_launch=may_submit and any(_in_force(one, page.account) for one in held),
    )


def _stages(page: Page, dataset: Dataset, made: Sequence[Version]) -> dict[int, list[StageRun]]:
    """Return, by version, the stages of its curation, whose counts are for its holder and those who audit."""
    if not datasets.sees_counts(dataset, page.account):
        return {}
    return {one.number: stage_runs(datasets.lineage(page.lab.store, one)) for one in made}


def _downloadable(page: Page, dataset: Dataset, made: Sequence[Version]) -> set[int]:
    """Return the numbers of the versions whose files the reader may take away."""
    return {one.number for one in made if downloads.may_download(page.lab.store, dataset, one, page.account)}


def _forms(dataset: Dataset, made: Sequence[Version]) -> dict[str, str]:
    """Return the forms in which the dataset can be had: those of standards for which it lacks nothing."""
    lacking = readiness(dataset, made[-1] if made else None)
    ready: set[str] = {one.standard for one in lacking if one.applies and not one.missing}
    if "frictionless" in ready:
        ready.add("schema.csv")
    return {form: name for form, name in EXPORTS.items() if form in ready or form.rpartition(".")[0] in ready}


def _in_force(permit: PermitRecord, account: AccountDraft) -> bool:
    named = account.role is not Role.RESEARCHER or account.name in permit.claims.people
    return named and permits.in_force(permit, now())


def _permits(page: Page, dataset: str) -> list[PermitRecord]:
    if not page.may(Action.PERMIT_READ):
        return []
    return permits.find(page.lab.store, page.account, dataset=dataset, limit=1000)


def _changes(made: Sequence[Version]) -> dict[int, Comparison]:
    """Return, by number, what each version but the first changed against the one before."""
    return {after.number: compare(before, after) for before, after in pairwise(made)}


def _one(made: Sequence[Version], number: int) -> Version:
    for version in made:
        if version.number == number:
            return version
    raise NotFoundError(f"There is no version {number}.", next_step="See the list of versions.")
