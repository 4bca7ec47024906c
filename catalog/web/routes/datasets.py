"""Datasets: register, read, change."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse

from catalog import datasets, lifecycle
from catalog.permissions import Action
from catalog.records import AccountDraft, Dataset, DatasetDraft, DatasetPatch, DatasetState, StateChange
from catalog.standards.export import prefers_rdf
from catalog.web.access import Accept, After, Allowed, DatasetId, Limit, Revision, TheLab
from catalog.web.guard import API

router = APIRouter(prefix="/datasets", tags=["datasets"])
_Reader = Annotated[AccountDraft, Depends(Allowed(Action.DATASET_READ))]
_Editor = Annotated[AccountDraft, Depends(Allowed(Action.DATASET_UPDATE))]


@router.post("", status_code=201)
def register(
    draft: DatasetDraft,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.DATASET_REGISTER))],
    state: Literal[DatasetState.DRAFT, DatasetState.PUBLISHED] = DatasetState.PUBLISHED,
) -> Dataset:
    """Register a dataset, published or as a draft that only its holder and the lab know of."""
    return datasets.register(lab.store, draft, account, state=state)


@router.get("")
def read_all(account: _Reader, lab: TheLab, after: After = "", limit: Limit = 100) -> list[Dataset]:
    """Return datasets by id, those after ``after``."""
    return lifecycle.page(lab.store, account, after=after, limit=limit)


@router.get("/{dataset}", response_model=Dataset)
def read(account: _Reader, dataset: DatasetId, lab: TheLab, accept: Accept = "") -> Dataset | RedirectResponse:
    """Return one dataset; who would rather have RDF is led to its export, since this address is its name there."""
    if prefers_rdf(accept):
        return RedirectResponse(f"{API}/datasets/{dataset}/exports/dcat-ap", 303)
    return lifecycle.read(lab.store, dataset, account)


@router.patch("/{dataset}")
def update(
    account: _Editor,
    dataset: DatasetId,
    patch: DatasetPatch,
    revision: Revision,
    lab: TheLab,
    request: Request,
) -> Dataset:
    """Change a dataset that is still at the revision in If-Match; how it is decided on is a decision itself."""
    if patch.model_fields_set & {"two_people", "release"}:
        Allowed(Action.DATASET_DECIDERS).check(request)
    return datasets.update(lab.store, dataset, patch, revision=revision, account=account)


@router.post("/{dataset}/state")
def move(account: _Editor, dataset: DatasetId, wanted: StateChange, revision: Revision, lab: TheLab) -> Dataset:
    """Publish, withdraw, delete or restore a dataset that is still at the revision in If-Match."""
    return lifecycle.move(lab.store, dataset, wanted, revision=revision, account=account)
