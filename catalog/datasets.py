"""Datasets, and the versions that nodes announce."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from catalog import lifecycle
from catalog.errors import ConflictError, NotPermittedError
from catalog.lineage import RunEvent
from catalog.permissions import Action, check_holder, may
from catalog.records import (
    AccountDraft,
    Announcement,
    Dataset,
    DatasetDraft,
    DatasetPatch,
    DatasetState,
    Role,
    Tombstone,
    Version,
)
from catalog.store import Change, Store, now
from datalab.curation.again import told_again
from datalab.curation.report import CurationReport
from datalab.errors import BadInputError, NotFoundError


def register(
    store: Store, draft: DatasetDraft, account: AccountDraft, *, state: DatasetState = DatasetState.PUBLISHED
) -> Dataset:
    """Add a dataset to the catalog, published or as a draft; ConflictError if its id is taken."""
    check_holder(account, draft.holder)
    moment = now()
    dataset = Dataset(**draft.model_dump(), state=state, created=moment, updated=moment, revision=1)
    with store.change(account.name) as change:
        change.insert("datasets", dataset.id, dataset)
        change.event(
            "dataset.registered",
            f"dataset/{dataset.id}",
            holder=dataset.holder,
            kept_at=dataset.kept_at,
            state=dataset.state,
        )
    return dataset


def update(store: Store, key: str, patch: DatasetPatch, *, revision: int, account: AccountDraft) -> Dataset:
    """Change a dataset that is still at ``revision``.

    Raises:
        ConflictError: it has changed meanwhile (the error says who has changed what), or is deleted.
        BadInputError: the dataset would contradict itself afterwards.
    """
    fields = {name: getattr(patch, name) for name in patch.model_fields_set}
    with store.change(account.name) as change:
        dataset = lifecycle.known(change, key, account)
        check_holder(account, dataset.holder)
        lifecycle.check_unchanged(change, dataset, revision)
        lifecycle.check_open(dataset)
        try:
            changed = Dataset.model_validate(
                {**dataset.model_dump(), **fields, "updated": now(), "revision": revision + 1}
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise BadInputError(
                f"The dataset cannot be changed like this: {first['msg']}.",
                where=".".join(map(str, first["loc"])) or key,
                next_step="Correct the request.",
            ) from error
        change.update("datasets", key, changed)
        change.event("dataset.updated", f"dataset/{key}", fields=sorted(fields), revision=changed.revision)
    return changed


def versions(store: Store, dataset: str) -> list[Version]:
    """Return the versions of a dataset, the oldest first; NotFoundError if there is no such dataset."""
    store.get(Dataset, "datasets", dataset)
    found = store.rows("SELECT record FROM versions WHERE dataset = ? ORDER BY number", [dataset])
    return [Version.model_validate_json(row[0]) for row in found]


def version(store: Store, dataset: str, number: int) -> Version:
    """Return one version; NotFoundError if there is none."""
    found = store.rows("SELECT record FROM versions WHERE dataset = ? AND number = ?", [dataset, number])
    if not found:
        raise NotFoundError(f"There is no version {number} of {dataset}.", next_step="See the list of its versions.")
    return Version.model_validate_json(found[0][0])


def shown(version: Version, dataset: Dataset, account: AccountDraft | None) -> Version:
    """Return a version as an account may see it, or who has none: of personal data, small counts only to some roles."""
    if shows_counts(dataset, account):
        return version.model_copy(update={"told": None})
    return version.model_copy(update={"report": version.public, "told": None})


def shows_counts(dataset: Dataset, account: AccountDraft | None) -> bool:
    """Return whether all counts of a dataset are shown to an account, or to who has none."""
    return dataset.data_class == "anonymous" or (account is not None and sees_counts(dataset, account))


def sees_counts(dataset: Dataset, account: AccountDraft) -> bool:
    """Return whether an account sees small counts of a dataset about persons."""
    own = account.role is not Role.STEWARD or account.organisation == dataset.holder
    return own and may(account.role, Action.VERSION_COUNTS)


def announce(store: Store, key: str, announcement: Announcement, account: AccountDraft) -> Version:
    """Record a version that a node keeps.

    The same contract digest and Parquet digest give the version that is there already. Where people were taken out of
    it at the site, it is that version with another digest and a tombstone.

    Raises:
        NotPermittedError: the dataset is not kept at that node.
        ConflictError: the report is not by the dataset's contract, or the version is another one than announced before
            or not the next one.
    """
    report = announcement.report
    with store.change(account.name) as change:
        dataset = change.get(Dataset, "datasets", key)
        if dataset.kept_at != "site" or dataset.node != announcement.node:
            raise NotPermittedError(
                f"The node {announcement.node} does not keep this dataset.",
                where=key,
                next_step="Register the dataset with the node that keeps it.",
            )
        lifecycle.check_open(dataset)
        check_contract(dataset, report)
        number = announcement.version
        for one in _versions(change, key):
            if one.number == number and _source(one.report) == _source(report):
                change.event("version.announced-again", f"dataset/{key}/v{number}", node=announcement.node)
                return one
            if one.number == number and _follows(one.report, report):
                return _erased_at_site(change, one, announcement)
        if number != (following := next_number(change, key)):
            raise ConflictError(
                f"The node announces version {number} with data that is not version {number} here; "
                f"the next version is {following}.",
                where=key,
                next_step="Give the data the next version number in node.toml: a version never changes.",
            )
        made = Version(
            dataset=key,
            number=number,
            state="announced",
            report=report,
            files=(),
            created=now(),
            announced_by=announcement.node,
            told=tell(change, key, report),
        )
        insert_version(change, made)
        change.event("version.announced", f"dataset/{key}/v{number}", node=announcement.node)
    return made


def check_contract(dataset: Dataset, report: CurationReport) -> None:
    """Raise ConflictError unless a report is by the contract that the dataset is registered with."""
    registered = (dataset.contract_id, dataset.contract_version)
    used = (report.contract_id, report.contract_version)
    if registered != used:
        raise ConflictError(
            f"The dataset is registered with the contract {' '.join(registered)}, the data was curated by "
            f"{' '.join(used)}.",
            where=dataset.id,
            next_step="Update the dataset's contract version, or curate by the registered contract.",
        )


def tell(change: Change, dataset: str, report: CurationReport) -> CurationReport:
    """Return what everybody may read of a new version's report, with what was told of the versions before in mind."""
    return report.public(earlier=[one.public for one in _versions(change, dataset)])


def next_number(change: Change, dataset: str) -> int:
    """Return the number of the next version of a dataset."""
    return int(change.execute("SELECT coalesce(max(number), 0) + 1 FROM versions WHERE dataset = ?", [dataset])[0][0])


def insert_version(change: Change, version: Version) -> None:
    """Add a version, which makes it readable."""
    change.execute(
        "INSERT INTO versions VALUES (?, ?, ?)", [version.dataset, version.number, version.model_dump_json()]
    )


def keep_lineage(change: Change, version: Version, events: Iterable[RunEvent]) -> None:
    """Keep the run events of a version with it."""
    text = json.dumps([event.as_json() for event in events])
    change.execute("INSERT OR REPLACE INTO lineage VALUES (?, ?, ?)", [version.dataset, version.number, text])


def lineage(store: Store, version: Version) -> list[dict[str, Any]]:
    """Return the run events of a version; none where it was announced by a node, or is older than they are."""
    rows = store.rows("SELECT events FROM lineage WHERE dataset = ? AND number = ?", [version.dataset, version.number])
    found: list[dict[str, Any]] = json.loads(rows[0][0]) if rows else []
    return found


def _versions(change: Change, dataset: str) -> list[Version]:
    found = change.execute("SELECT record FROM versions WHERE dataset = ? ORDER BY number", [dataset])
    return [Version.model_validate_json(row[0]) for row in found]


def _follows(before: CurationReport, after: CurationReport) -> bool:
    """Whether a table is another one from which people were taken."""
    same = (before.contract_digest, before.raw_sha256) == (after.contract_digest, after.raw_sha256)
    return same and before.parquet_sha256 in after.replaces and len(before.columns) == len(after.columns)


def _erased_at_site(change: Change, version: Version, announcement: Announcement) -> Version:
    """Record that people were taken out of a version at its site; what was told of it stays as it was."""
    report, before = announcement.report, version.report.parquet_sha256
    stone = Tombstone(erasure="at-its-site", at=now(), sha256=before)
    anew = version.model_copy(
        update={
            "report": report,
            "told": told_again(version.public, version.report, report),
            "erasures": (*version.erasures, stone),
        }
    )
    change.replace_version(anew)
    change.event(
        "version.erased", f"dataset/{version.dataset}/v{version.number}", node=announcement.node, before=before
    )
    return anew


def _source(report: CurationReport) -> tuple[str, str]:
    return report.contract_digest, report.parquet_sha256
