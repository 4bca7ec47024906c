"""From a draft to a dataset on record and a pipeline at work on its file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from catalog import datasets, uploads
from catalog.drafts import Draft
from catalog.errors import ConflictError
from catalog.lab import Lab
from catalog.records import AccountDraft, Dataset, DatasetDraft, DatasetPatch
from datalab.curation.contract import load_contract
from datalab.curation.proposal import contract_text
from datalab.home import write_atomically

_KEPT = ("translations", "two_people", "release")
"""What a draft does not say, and so does not change: who decides on a dataset is a decision of its own."""
CONTRACT_VERSION = "1.0.0"
"""Of the contract that a dataset's first version is curated by."""


def check_unpublished(lab: Lab, draft: Draft) -> None:
    """Raise ConflictError if the draft's dataset has a version: its contract is not to change any more."""
    if draft.dataset is not None and datasets.versions(lab.store, draft.dataset):
        raise ConflictError(
            "This dataset has been published already.",
            where=draft.dataset,
            next_step="Discard the draft; what is to change of the dataset is changed at its own page.",
        )


def register_draft(lab: Lab, draft: Draft, described: DatasetDraft, account: AccountDraft) -> Dataset:
    """Put the dataset that a draft describes on record, or bring it up to date, with its contract.

    Raises:
        BadInputError: the columns make no contract.
        ConflictError: the identifier was taken meanwhile.
    """
    contract = _contract(lab, draft, described) if draft.found is not None else None
    if draft.dataset is None:
        dataset = datasets.register(lab.store, described, account)
        lab.drafts.save(draft, dataset=dataset.id)
    else:
        known = lab.store.get(Dataset, "datasets", draft.dataset)
        fields = {name: getattr(described, name) for name in DatasetPatch.model_fields if name not in _KEPT}
        dataset = datasets.update(lab.store, known.id, DatasetPatch(**fields), revision=known.revision, account=account)
    if contract is not None:
        write_atomically(lab.home.folder("contracts") / f"{dataset.id}.odcs.yaml", contract)
    return dataset


def start_curation(lab: Lab, draft: Draft, dataset: Dataset, account: AccountDraft) -> str:
    """Start the pipeline over a draft's file, and return the run's name at once."""

    def receive() -> str:
        if draft.upload is not None:
            return draft.upload
        assert draft.file is not None
        pieces = lab.drafts.read(draft)
        upload = uploads.receive(lab.store, lab.landing, dataset, pieces, filename=draft.file.name, account=account)
        lab.drafts.save(draft, upload=upload.id)
        lab.drafts.remove_parts(draft)
        return upload.id

    def published() -> None:
        lab.drafts.discard(draft)

    run = lab.curations.start(dataset.id, receive, published, actor=account.name)
    lab.drafts.save(draft, run=run)
    return run


def _contract(lab: Lab, draft: Draft, described: DatasetDraft) -> bytes:
    """Return the contract of a draft's columns, after it was read as the pipeline will."""
    assert draft.found is not None
    text = contract_text(
        draft.found,
        contract_id=described.contract_id,
        version=described.contract_version,
        title=described.title,
        description=described.description,
    ).encode()
    with tempfile.TemporaryDirectory(dir=lab.home.folder("contracts"), prefix=".check-") as folder:
        path = Path(folder) / "contract.odcs.yaml"
        path.write_bytes(text)
        load_contract(path)
    return text
