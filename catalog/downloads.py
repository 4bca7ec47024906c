"""What may leave the lab as a file, and what may not."""

from __future__ import annotations

from datetime import timedelta

from catalog import permits
from catalog.access.records import PermitRecord
from catalog.errors import NotPermittedError
from catalog.lifecycle import check_usable
from catalog.permissions import Action, check_holder, may
from catalog.records import AccountDraft, Dataset, Role, Version
from catalog.store import Store
from datalab.errors import NotFoundError
from datalab.storage.store import ObjectStore

LIFETIME = timedelta(seconds=60)
"""How long an address is good for; a download that has begun goes on."""


def download_address(store: Store, objects: ObjectStore, version: Version, file: int, account: AccountDraft) -> str:
    """Return a short-lived address of one file of a version, and record that it was given out.

    Raises:
        NotPermittedError: the data may not be downloaded by this account.
        NotFoundError: the version has no such file.
    """
    dataset = store.get(Dataset, "datasets", version.dataset)
    permit = check_version(store, dataset, version, account)
    if file >= len(version.files):
        raise NotFoundError(
            f"The version has no file number {file}.",
            where=f"{version.dataset} v{version.number}",
            next_step="Files are numbered from 0.",
        )
    with store.change(account.name) as change:
        under = {"permit": permit.id} if permit else {}
        change.event("version.downloaded", f"dataset/{version.dataset}/v{version.number}", file=file, **under)
    return objects.presign_get(version.files[file].key, LIFETIME, name=file_name(version, file))


def file_name(version: Version, file: int) -> str:
    """Return what one file of a version is called where it arrives."""
    part = f"-{file + 1}-of-{len(version.files)}" if len(version.files) > 1 else ""
    return f"{version.dataset}-v{version.number}{part}.parquet"


def check_version(store: Store, dataset: Dataset, version: Version, account: AccountDraft) -> PermitRecord | None:
    """Return the permit under which an account may take a version away; None where its terms need no permit.

    Raises:
        NotPermittedError: it may not, or nobody may because the dataset or the version is withdrawn.
    """
    researcher = account.role is Role.RESEARCHER and dataset.access == "restricted"
    permit = permits.for_download(store, account, dataset.id, version.number) if researcher else None
    check_download(dataset, account, permit)
    check_usable(dataset, version)
    return permit


def may_download(store: Store, dataset: Dataset, version: Version, account: AccountDraft) -> bool:
    """Return whether an account may take a version's files away."""
    try:
        check_version(store, dataset, version, account)
    except NotPermittedError:
        return False
    return bool(version.files) and may(account.role, Action.VERSION_DOWNLOAD)


def check_download(dataset: Dataset, account: AccountDraft, permit: PermitRecord | None = None) -> None:
    """Raise NotPermittedError unless the files of a dataset may leave the lab in this account's hands.

    Args:
        dataset: the data.
        account: who asks.
        permit: one in force for this data that names the account, if there is one.
    """
    if dataset.data_class == "personal":
        raise NotPermittedError(
            "Personal data, pseudonymised included, never leaves (Regulation (EU) 2025/327, Article 73).",
            where=dataset.id,
            next_step="Use it in a federated run, under a permit.",
        )
    if dataset.access == "federated-only":
        raise NotPermittedError(
            "This dataset is used in federated runs only.",
            where=dataset.id,
            next_step="Use it in a federated run.",
        )
    if dataset.access == "restricted" and permit is None:
        if account.role is Role.RESEARCHER:
            raise NotPermittedError(
                "This dataset is restricted, and no permit in force lets you have it.",
                where=dataset.id,
                next_step="Request access on its page.",
            )
        check_holder(account, dataset.holder)
