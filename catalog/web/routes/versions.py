"""Versions: publish, announce, read, fetch."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import RedirectResponse

from catalog import datasets, downloads, lifecycle
from catalog.compare import Comparison, compare
from catalog.lab import Lab
from catalog.permissions import Action, check_holder
from catalog.records import (
    AccountDraft,
    Announcement,
    Dataset,
    Number,
    PublishRequest,
    Reason,
    StoredFile,
    Version,
)
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
    return _shown(lab, lab.publisher.publish(dataset, request, actor=account.name), account)


@router.post("/announcements", status_code=201)
def announce(
    dataset: DatasetId,
    announcement: Announcement,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.VERSION_ANNOUNCE))],
) -> Version:
    """Record a version that a node keeps at its site."""
    return datasets.announce(lab.store, dataset, announcement, account).model_copy(update={"told": None})


@router.get("/versions")
def read_all(account: _Reader, dataset: DatasetId, lab: TheLab) -> list[Version]:
    """Return the versions of a dataset, the oldest first."""
    found = lifecycle.read(lab.store, dataset, account)
    return [datasets.shown(one, found, account) for one in datasets.versions(lab.store, dataset)]


@router.get("/comparison")
def comparison(account: _Reader, dataset: DatasetId, before: Number, after: Number, lab: TheLab) -> Comparison:
    """Compare two versions: columns, rows, checks."""
    found = lifecycle.read(lab.store, dataset, account)
    two = [datasets.version(lab.store, dataset, number) for number in (before, after)]
    return compare(*(datasets.shown(one, found, account) for one in two))


@router.get("/versions/{number}")
def read(account: _Reader, dataset: DatasetId, number: VersionNumber, lab: TheLab) -> Version:
    """Return one version."""
    found = lifecycle.read(lab.store, dataset, account)
    return datasets.shown(datasets.version(lab.store, dataset, number), found, account)


@router.get("/versions/{number}/files", dependencies=[Depends(Allowed(Action.VERSION_FILES))])
def files(dataset: DatasetId, number: VersionNumber, lab: TheLab) -> tuple[StoredFile, ...]:
    """Return where the files of a version that may be used lie in the bucket."""
    version = datasets.version(lab.store, dataset, number)
    lifecycle.check_usable(lab.store.get(Dataset, "datasets", dataset), version)
    return version.files


@router.get("/versions/{number}/lineage")
def read_lineage(
    account: Annotated[AccountDraft, Depends(Allowed(Action.VERSION_COUNTS))],
    dataset: DatasetId,
    number: VersionNumber,
    lab: TheLab,
) -> list[dict[str, Any]]:
    """Return the OpenLineage run events of a version, with exact counts: for its holder and those who audit."""
    found = lifecycle.read(lab.store, dataset, account)
    check_holder(account, found.holder)
    return datasets.lineage(lab.store, datasets.version(lab.store, dataset, number))


@router.post("/versions/{number}/withdrawal")
def withdraw(
    account: Annotated[AccountDraft, Depends(Allowed(Action.VERSION_WITHDRAW))],
    dataset: DatasetId,
    number: VersionNumber,
    why: Reason,
    lab: TheLab,
) -> Version:
    """Withdraw a version: its record stays and says why, and nobody may use it any more."""
    return _shown(lab, lifecycle.withdraw(lab.store, dataset, number, reason=why.reason, account=account), account)


@router.get("/versions/{number}/download", status_code=307)
def download(
    dataset: DatasetId,
    number: VersionNumber,
    lab: TheLab,
    account: Annotated[AccountDraft, Depends(Allowed(Action.VERSION_DOWNLOAD))],
    file: Annotated[int, Query(ge=0)] = 0,
) -> RedirectResponse:
    """Redirect to a short-lived address of one file of anonymous data."""
    lifecycle.read(lab.store, dataset, account)
    version = datasets.version(lab.store, dataset, number)
    return RedirectResponse(downloads.download_address(lab.store, lab.objects, version, file, account))


def _shown(lab: Lab, version: Version, account: AccountDraft) -> Version:
    return datasets.shown(version, lab.store.get(Dataset, "datasets", version.dataset), account)
