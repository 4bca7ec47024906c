"""Versions: publish, announce, read, fetch."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import RedirectResponse

from catalog import datasets, downloads
from catalog.permissions import Action
from catalog.records import AccountDraft, Announcement, Dataset, PublishRequest, StoredFile, Version
from catalog.web.access import Allowed, DatasetId, TheLab, VersionNumber

router = APIRouter(prefix="/datasets/{dataset}", tags=["versions"])
_Reader = Annotated[AccountDraft, Depends(Allowed(Action.VERSION_READ))]


@router.post("/versions", status_code=201)
def publish(
    dataset: DatasetId,
    request: PublishRequest,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.VERSION_PUBLISH))],
) -> Version:
    """Publish curated files from staging; the same intent always gives the same version."""
    return lab.publisher.publish(dataset, request, actor=account.name)


@router.post("/announcements", status_code=201)
def announce(
    dataset: DatasetId,
    announcement: Announcement,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.VERSION_ANNOUNCE))],
) -> Version:
    """Record a version that a node keeps at its site."""
    return datasets.announce(lab.store, dataset, announcement, account)


@router.get("/versions")
def read_all(account: _Reader, dataset: DatasetId, lab: TheLab) -> list[Version]:
    """Return the versions of a dataset, the oldest first."""
    found = lab.store.get(Dataset, "datasets", dataset)
    return [datasets.shown(one, found, account) for one in datasets.versions(lab.store, dataset)]


@router.get("/versions/{number}")
def read(account: _Reader, dataset: DatasetId, number: VersionNumber, lab: TheLab) -> Version:
    """Return one version."""
    found = lab.store.get(Dataset, "datasets", dataset)
    return datasets.shown(datasets.version(lab.store, dataset, number), found, account)


@router.get("/versions/{number}/files", dependencies=[Depends(Allowed(Action.VERSION_FILES))])
def files(dataset: DatasetId, number: VersionNumber, lab: TheLab) -> tuple[StoredFile, ...]:
    """Return where the files of a version lie in the bucket."""
    return datasets.version(lab.store, dataset, number).files


@router.get("/versions/{number}/download", status_code=307)
def download(
    dataset: DatasetId,
    number: VersionNumber,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.VERSION_DOWNLOAD))],
    file: Annotated[int, Query(ge=0)] = 0,
) -> RedirectResponse:
    """Redirect to a short-lived address of one file of anonymous data."""
    version = datasets.version(lab.store, dataset, number)
    return RedirectResponse(downloads.download_address(lab.store, lab.objects, version, file, account))
