"""Datasets and the whole catalogue in the forms of the standards."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from catalog import datasets, lifecycle
from catalog.permissions import Action
from catalog.records import AccountDraft, Number
from catalog.standards.address import Address
from catalog.standards.catalogue import latest
from catalog.standards.export import Exported, export_catalogue, export_dataset
from catalog.standards.requirements import CatalogueForm, Form, Readiness, readiness
from catalog.web.access import Accept, Allowed, DatasetId, Public, TheLab
from catalog.web.guard import API
from datalab.canonical import sha256_hex

router = APIRouter(tags=["standards"])
_Reader = Annotated[AccountDraft, Depends(Allowed(Action.DATASET_READ))]
_Public = Annotated[AccountDraft | None, Depends(Public(Action.CATALOGUE_READ))]


def the_address(request: Request) -> Address:
    """Return where the lab is reached from outside."""
    return Address(f"{request.app.state.url}{API}")


TheAddress = Annotated[Address, Depends(the_address)]
IfNoneMatch = Annotated[str, Header(max_length=2000, alias="If-None-Match")]


@router.get("/datasets/{dataset}/standards")
def standards(account: _Reader, dataset: DatasetId, lab: TheLab) -> list[Readiness]:
    """Say for each standard whether it is meant for the dataset, and field by field what is missing for it."""
    return readiness(lifecycle.read(lab.store, dataset, account), latest(lab.store, dataset))


@router.get("/datasets/{dataset}/exports/{form}", response_class=Response)
def export(
    account: _Public,
    dataset: DatasetId,
    form: Form,
    lab: TheLab,
    address: TheAddress,
    version: Annotated[Number | None, Query()] = None,
    accept: Accept = "",
    known: IfNoneMatch = "",
) -> Response:
    """Return a dataset, with its latest version unless another is asked for; without an ending, Accept decides."""
    found = lifecycle.read(lab.store, dataset, account)
    one = datasets.version(lab.store, dataset, version) if version else latest(lab.store, dataset)
    one = one and datasets.shown(one, found, None)  # exports go on to others, whoever fetches them
    return _answer(export_dataset(found, one, form, address, accept=accept), known)


@router.get("/catalog/{form}", response_class=Response, dependencies=[Depends(Public(Action.CATALOGUE_READ))])
def catalogue(
    form: CatalogueForm,
    lab: TheLab,
    address: TheAddress,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    accept: Accept = "",
    known: IfNoneMatch = "",
) -> Response:
    """Return a page of the catalogue; each page links to the next (Hydra)."""
    return _answer(export_catalogue(lab.store, form, page, address, accept=accept), known)


def _answer(exported: Exported, known: str) -> Response:
    """Return a document with its ETag, or that it is the one that the reader has (RFC 9110, 13.1.2)."""
    headers = {"Vary": "Accept", "ETag": f'"{sha256_hex(exported.text.encode())}"'}
    if any(one.strip().removeprefix("W/") in {headers["ETag"], "*"} for one in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(exported.text, media_type=exported.media_type, headers=headers)
