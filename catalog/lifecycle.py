"""The life of a dataset (draft, published, withdrawn, deleted), and what may be seen and used in which state.

Nothing is erased here: a dataset that is deleted can be restored, and a version that is withdrawn keeps its record.
"""

from __future__ import annotations

from catalog.errors import ConflictError, NotPermittedError
from catalog.permissions import Action, check_holder, may
from catalog.records import (
    DATASET_TRANSITIONS,
    AccountDraft,
    Dataset,
    DatasetState,
    Hold,
    Line,
    Role,
    StateChange,
    Version,
    Withdrawal,
)
from catalog.store import Change, Store, check_revision, now
from datalab.errors import NotFoundError

STATE = "coalesce(json_extract_string(record, '$.state'), 'published')"
"""SQL for the state that a dataset's record says."""
KNOWN = (DatasetState.PUBLISHED, DatasetState.WITHDRAWN)
"""States in which everybody knows of a dataset."""


def move(store: Store, key: str, wanted: StateChange, *, revision: int, account: AccountDraft) -> Dataset:
    """Move a dataset that is still at ``revision`` to another state.

    Raises:
        ConflictError: it has changed meanwhile, or the state cannot follow its present one.
        NotPermittedError: it is another holder's.
    """
    with store.change(account.name) as change:
        dataset = known(change, key, account)
        check_holder(account, dataset.holder)
        check_unchanged(change, dataset, revision)
        if wanted.state not in DATASET_TRANSITIONS[dataset.state]:
            able = ", ".join(sorted(DATASET_TRANSITIONS[dataset.state]))
            raise ConflictError(
                f"A dataset that is {dataset.state} cannot become {wanted.state}.",
                where=key,
                next_step=f"It can become: {able}.",
            )
        moved = dataset.model_copy(
            update={"state": wanted.state, "state_reason": wanted.reason, "updated": now(), "revision": revision + 1}
        )
        change.update("datasets", key, moved)
        change.event(
            f"dataset.{wanted.state}",
            f"dataset/{key}",
            before=dataset.state,
            reason=wanted.reason,
            revision=moved.revision,
        )
    return moved


def withdraw(store: Store, key: str, number: int, *, reason: Line, account: AccountDraft) -> Version:
    """Withdraw a version: its record stays and says why, and nobody may use it any more.

    Raises:
        ConflictError: it is withdrawn already.
        NotFoundError: there is no such version.
        NotPermittedError: it is another holder's.
    """
    with store.change(account.name) as change:
        check_holder(account, known(change, key, account).holder)
        version = change.version(key, number)
        if version.withdrawn is not None:
            raise ConflictError(f"{version.withdrawn.by} has withdrawn this version already.", where=f"{key} v{number}")
        withdrawal = Withdrawal(at=now(), by=account.name, reason=reason)
        withdrawn = version.model_copy(update={"withdrawn": withdrawal})
        change.replace_version(withdrawn)
        change.event("version.withdrawn", f"dataset/{key}/v{number}", reason=reason)
    return withdrawn


def hold(store: Store, key: str, wanted: Hold, account: AccountDraft) -> Dataset:
    """Put a dataset under legal hold, or release it.

    Raises:
        NotFoundError: there is no such dataset.
        NotPermittedError: it is another holder's.
    """
    with store.change(account.name) as change:
        dataset = known(change, key, account)
        check_holder(account, dataset.holder)
        held = dataset.model_copy(
            update={"legal_hold": wanted.reason, "updated": now(), "revision": dataset.revision + 1}
        )
        change.update("datasets", key, held)
        change.event(
            "dataset.held" if wanted.reason else "dataset.released",
            f"dataset/{key}",
            reason=wanted.reason,
            revision=held.revision,
        )
    return held


def visible(dataset: Dataset, account: AccountDraft | None) -> bool:
    """Return whether an account, or who has none, may know of a dataset.

    Of a draft or a deleted one know only its holder and the lab.
    """
    if account is None:
        return dataset.state in KNOWN
    own = account.role is not Role.STEWARD or account.organisation == dataset.holder
    return dataset.state in KNOWN or (own and may(account.role, Action.DATASET_UNPUBLISHED))


def read(store: Store, key: str, account: AccountDraft | None) -> Dataset:
    """Return a dataset that an account may know of; NotFoundError for any other."""
    return known(store, key, account)


def known(records: Store | Change, key: str, account: AccountDraft | None) -> Dataset:
    """The same, within a change too: whoever may not know of a dataset learns no more than of one that is not there."""
    dataset = records.get(Dataset, "datasets", key)
    if not visible(dataset, account):
        raise NotFoundError(f"There is no dataset {key}.", next_step="Check the id.")
    return dataset


def page(store: Store, account: AccountDraft, *, after: str, limit: int) -> list[Dataset]:
    """Return up to ``limit`` datasets that an account may know of and whose id comes after ``after``, by id."""
    rows = store.scan(
        f"SELECT record FROM datasets WHERE id > ? AND ({STATE} IN ('published', 'withdrawn') OR {_unpublished()}) "
        "ORDER BY id LIMIT ?",
        [after, *_whose(account), limit],
    )
    return [Dataset.model_validate_json(row[0]) for row in rows]


def unpublished(store: Store, account: AccountDraft, *, limit: int) -> list[Dataset]:
    """Return up to ``limit`` datasets that are not published and that an account answers for, by id."""
    rows = store.scan(
        f"SELECT record FROM datasets WHERE {STATE} <> 'published' AND {_unpublished()} ORDER BY id LIMIT ?",
        [*_whose(account), limit],
    )
    return [Dataset.model_validate_json(row[0]) for row in rows]


def check_usable(dataset: Dataset, version: Version) -> None:
    """Raise NotPermittedError where a dataset or a version of it may not be used in its present state."""
    if dataset.state is not DatasetState.PUBLISHED:
        raise NotPermittedError(
            f"This dataset is {dataset.state}.",
            where=dataset.id,
            next_step=f"Ask {dataset.holder_name} whether it will be published again.",
        )
    if version.withdrawn is not None:
        raise NotPermittedError(
            f"This version was withdrawn: {version.withdrawn.reason}",
            where=f"{dataset.id} v{version.number}",
            next_step="Use another version.",
        )


def check_open(dataset: Dataset) -> None:
    """Raise ConflictError where a dataset is deleted, and so takes neither changes nor data."""
    if dataset.state is DatasetState.DELETED:
        raise ConflictError("This dataset is deleted.", where=dataset.id, next_step="Restore it first.")


def check_unchanged(change: Change, dataset: Dataset, revision: int) -> None:
    """Raise ConflictError unless a dataset is still at ``revision``; the error says who has changed what since."""
    if revision != dataset.revision:
        check_revision(
            "datasets",
            dataset.id,
            expected=revision,
            actual=dataset.revision,
            done=tuple(changes_since(change, dataset.id, revision)),
        )


def changes_since(change: Change, key: str, revision: int) -> list[str]:
    """Return a sentence for each change of a dataset after ``revision``, the oldest first."""
    rows = change.execute(
        "SELECT actor, action, time, json_extract_string(details, '$.fields') FROM events "
        "WHERE subject = ? AND json_extract(details, '$.revision')::INTEGER > ? ORDER BY n",
        [f"dataset/{key}", revision],
    )
    return [
        f"{actor}, {time[:16].replace('T', ' ')} UTC: {_what(action, fields)}." for actor, action, time, fields in rows
    ]


def _what(action: str, fields: str | None) -> str:
    done = action.removeprefix("dataset.")
    return f"{done} {', '.join(fields.strip('[]').replace(chr(34), '').split(','))}" if fields else done


def _unpublished() -> str:
    return "(? OR json_extract_string(record, '$.holder') = ?)"


def _whose(account: AccountDraft) -> tuple[bool, str | None]:
    """Return whether an account sees every holder's datasets that are not published, or whose it sees."""
    if not may(account.role, Action.DATASET_UNPUBLISHED):
        return False, None
    return (False, account.organisation) if account.role is Role.STEWARD else (True, None)
