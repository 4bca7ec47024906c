"""Datasets: register, read, change."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse

from catalog import datasets
from catalog.permissions import Action
from catalog.records import AccountDraft, Dataset, DatasetDraft, DatasetPatch
from catalog.standards.export import prefers_rdf
from catalog.web.access import Accept, After, Allowed, DatasetId, Limit, Revision, TheLab
from catalog.web.guard import API

router = APIRouter(prefix="/datasets", tags=["datasets"])
_Reader = Depends(Allowed(Action.DATASET_READ))


@router.post("", status_code=201)
def register(
    draft: DatasetDraft,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.DATASET_REGISTER))],
) -> Dataset:
    """Register a dataset."""
    return datasets.register(lab.store, draft, account)


@router.get("", dependencies=[_Reader])
def read_all(lab: TheLab, after: After = "", limit: Limit = 100) -> list[Dataset]:
    """Return datasets by id, those after ``after``."""
    return lab.store.page(Dataset, "datasets", after=after, limit=limit)


@router.get("/{dataset}", dependencies=[_Reader], response_model=Dataset)
def read(dataset: DatasetId, lab: TheLab, accept: Accept = "") -> Dataset | RedirectResponse:
    """Return one dataset; who would rather have RDF is led to its export, since this address is its name there."""
    if prefers_rdf(accept):
        return RedirectResponse(f"{API}/datasets/{dataset}/exports/dcat-ap", 303)
    return lab.store.get(Dataset, "datasets", dataset)


@router.patch("/{dataset}")
def update(
    account: Annotated[AccountDraft, Depends(Allowed(Action.DATASET_UPDATE))],
    dataset: DatasetId,
    patch: DatasetPatch,
    revision: Revision,
    lab: TheLab,
) -> Dataset:
    """Change a dataset that is still at the revision in If-Match."""
    return datasets.update(lab.store, dataset, patch, revision=revision, account=account)
