"""What may leave the lab as a file, and what may not."""

from __future__ import annotations

from datetime import timedelta

from catalog.errors import NotPermittedError
from catalog.lifecycle import check_usable
from catalog.permissions import check_holder
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
    check_download(dataset, account)
    check_usable(dataset, version)
    if file >= len(version.files):
        raise NotFoundError(
            f"The version has no file number {file}.",
            where=f"{version.dataset} v{version.number}",
            next_step="Files are numbered from 0.",
        )
    with store.change(account.name) as change:
        change.event("version.downloaded", f"dataset/{version.dataset}/v{version.number}", file=file)
    return objects.presign_get(version.files[file].key, LIFETIME)


def check_download(dataset: Dataset, account: AccountDraft) -> None:
    """Raise NotPermittedError unless the files of a dataset may leave the lab in this account's hands."""
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
    if dataset.access == "restricted":
        if account.role is Role.RESEARCHER:
            raise NotPermittedError(
                "This dataset is restricted; its holder has not given it to you.",
                where=dataset.id,
                next_step=f"Ask {dataset.holder_name} for access.",
            )
        check_holder(account, dataset.holder)
