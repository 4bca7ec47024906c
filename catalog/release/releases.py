"""Releases of what runs leave behind: where one is needed, who asks, who decides, and who may have which file.

Where a permit or one of its datasets asks for it, the files of a run are held: until they are released, the data user
sees that the run goes on and how far it is, and nothing that the app itself has written (files, card, metrics by name,
log). Whoever decided on the permit decides on the release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from catalog.access.policy import deciding_holder
from catalog.access.records import PermitRecord
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import AccountDraft, Dataset, Role
from catalog.release.checks import Look, Site, checks
from catalog.release.records import Release, ReleaseDecision
from catalog.release.transitions import RELEASE, ReleaseState, ReleaseStep, follow_release
from catalog.run_records import RunRecord, RunState
from catalog.store import Change, Store, check_revision, now
from datalab.errors import BadInputError, NotFoundError

CARD = "run-card.json"
WITHHELD = "The run failed; why is told with its run card, once that is released."


def required(permits: Sequence[PermitRecord], datasets: Sequence[Dataset]) -> Release | None:
    """Return the release that a run under these permits on these datasets needs; None if it needs none."""
    asking = [f"permit {one.id}" for one in permits if one.claims.release]
    asking += [f"dataset {one.id}" for one in datasets if one.release]
    if not asking:
        return None
    return Release(steward_of=_decider(permits, datasets), required_by=tuple(asking))


def _decider(permits: Sequence[PermitRecord], datasets: Sequence[Dataset]) -> str | None:
    holders = {one.steward_of for one in permits}
    if len(holders) == 1:
        return holders.pop()
    try:
        return None if holders else deciding_holder(datasets)
    except BadInputError:
        return None


def decides(release: Release, account: AccountDraft) -> bool:
    """Return whether an account is one of those who decide on a release."""
    if release.steward_of is None:
        return account.role is Role.ACCESS_BODY
    return account.role is Role.STEWARD and account.organisation == release.steward_of


def is_held(run: RunRecord, account: AccountDraft) -> bool:
    """Return whether what a run's app has said beside its files is kept from an account: it goes with the run card."""
    release = run.release
    if release is None or (release.state is ReleaseState.RELEASED and CARD in release.files):
        return False
    return not decides(release, account) and account.role is not Role.AUDITOR


def shown(run: RunRecord, account: AccountDraft) -> RunRecord:
    """Return a run as an account may see it: while it is held, without what its app has written."""
    release = run.release
    if release is None or decides(release, account) or account.role is Role.AUDITOR:
        return run
    files = release.files if release.state is ReleaseState.RELEASED else ()
    fields: dict[str, object] = {
        "artifacts": tuple(one for one in run.artifacts if one.name in files),
        "release": release.model_copy(update={"checks": ()}),
    }
    if is_held(run, account):
        fields["card"] = None
        if run.state is RunState.FAILED and run.started is not None:  # an app says in its own words why it failed
            fields["reason"] = WITHHELD
    return run.model_copy(update=fields)


def check_may_take(run: RunRecord, name: str, account: AccountDraft) -> None:
    """Raise NotPermittedError where a file of a run has not been released to an account.

    Whoever decides may take it: how else could they look at it.
    """
    release = run.release
    if release is None or decides(release, account):
        return
    if release.state is not ReleaseState.RELEASED:
        raise NotPermittedError(
            "What this run left may leave the lab only once it is released.",
            where=f"run {run.id}",
            next_step="Ask for its release on the run's page, or with `datalab run release`.",
        )
    if name not in release.files:
        raise NotPermittedError(
            f"The file {name} was not released.", where=f"run {run.id}", next_step="Ask who decided, on the run's page."
        )


def ask(
    store: Store, key: str, text: str, looks: Sequence[Look], examples: Mapping[str, int], account: AccountDraft
) -> RunRecord:
    """Ask for the release of what a run left.

    Args:
        store: the catalog's records.
        key: the run's id.
        text: why.
        looks: what is seen of its files.
        examples: rows that each node said it trained on.
        account: who asks.

    Raises:
        ConflictError: the run needs no release, has left nothing yet, or this does not follow its state.
        NotPermittedError: it is another organisation's run.
    """
    with store.change(account.name) as change:
        run = change.get(RunRecord, "runs", key)
        release = _step(run, ReleaseStep.ASK, account)
        if run.card is None:
            raise ConflictError(
                "The run has not left anything yet.", where=f"run {key}", next_step="Wait until it is over."
            )
        found = checks(looks, _sites(change, run), examples)
        return _put(change, run, release, asked_by=account.name, asked=now(), text=text, checks=found, reason="")


def withdraw(store: Store, key: str, account: AccountDraft) -> RunRecord:
    """Take back what was asked."""
    with store.change(account.name) as change:
        run = change.get(RunRecord, "runs", key)
        return _put(change, run, _step(run, ReleaseStep.WITHDRAW, account))


def decide(store: Store, key: str, decision: ReleaseDecision, account: AccountDraft) -> RunRecord:
    """Release the files of a run, or some of them; refuse; or take a release back.

    Raises:
        NotPermittedError: somebody else decides.
        ConflictError: the run has changed meanwhile, or the step does not follow its state.
        BadInputError: there is no reason where one is needed, or the run left no such file.
    """
    with store.change(account.name) as change:
        run = change.get(RunRecord, "runs", key)
        release = _step(run, decision.step, account)
        check_revision("runs", key, expected=decision.revision, actual=run.revision)
        released = decision.step is ReleaseStep.RELEASE
        if not decision.text.strip() and (release.failed or not released):
            raise BadInputError(
                "A reason is needed: a check has found something."
                if released
                else "A reason is needed: the data user reads it.",
                where="text",
                next_step="Say why.",
            )
        left = [one.name for one in run.artifacts]
        if unknown := sorted(set(decision.files) - set(left)):
            raise BadInputError(f"The run left no file {unknown[0]}.", where="files", next_step="Name those it left.")
        files = tuple(decision.files or left) if released else ()
        return _put(
            change, run, release, decided_by=account.name, decided=now(), reason=decision.text.strip(), files=files
        )


def waiting(store: Store, account: AccountDraft, *, limit: int) -> list[RunRecord]:
    """Return the runs whose release an account has to decide on, those that were asked for first."""
    rows = store.rows(
        "SELECT record FROM runs WHERE (record ->> '$.release.state') = 'asked' "
        "ORDER BY record ->> '$.release.asked', id LIMIT ?",
        [limit],
    )
    found = [RunRecord.model_validate_json(row[0]) for row in rows]
    return [one for one in found if one.release is not None and decides(one.release, account)]


def may_take(run: RunRecord, step: ReleaseStep, account: AccountDraft) -> bool:
    """Return whether an account may take a step now."""
    if run.release is None or run.release.state not in RELEASE[step].sources:
        return False
    return _is_party(run, run.release, step, account)


def _sites(change: Change, run: RunRecord) -> tuple[Site, ...]:
    """Return the datasets of a run, as checks see them."""
    found = []
    for one, node in zip(run.datasets, run.nodes, strict=False):
        try:
            report = change.version(one.dataset, one.version).report
        except NotFoundError:
            continue
        found.append(Site(node, report.rows or 0, len(report.columns), report.disclosure_threshold))
    return tuple(found)


def _is_party(run: RunRecord, release: Release, step: ReleaseStep, account: AccountDraft) -> bool:
    if RELEASE[step].by == "applicant":
        return account.role in {Role.RESEARCHER, Role.OPERATOR} and account.organisation == run.organisation
    return decides(release, account)


def _step(run: RunRecord, step: ReleaseStep, account: AccountDraft) -> Release:
    """Return a run's release with the state that a step leads to, if this account may take it now."""
    if run.release is None:
        raise ConflictError("What this run left needs no release.", where=f"run {run.id}", next_step="Download it.")
    if not _is_party(run, run.release, step, account):
        raise NotPermittedError(
            f"To {step} what a run left is for its {RELEASE[step].by}.",
            where=f"run {run.id}",
            next_step="Whoever decided on its permit decides; the people of its organisation ask.",
        )
    return run.release.model_copy(update={"state": follow_release(step, run.release.state, run.id)})


def _put(change: Change, run: RunRecord, release: Release, **fields: object) -> RunRecord:
    made = Release.model_validate({**dict(release), **fields})
    changed = run.model_copy(update={"release": made, "revision": run.revision + 1})
    change.update("runs", run.id, changed)
    change.event(
        f"run.release-{made.state}",
        f"run/{run.id}",
        checks=len(made.checks),
        found=len(made.failed),
        files=len(made.files),
    )
    return changed
