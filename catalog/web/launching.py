"""What API and pages share about runs: the dry run, how a run goes, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi.responses import StreamingResponse

from catalog import dry_run as checking
from catalog import runs
from catalog.errors import NotPermittedError
from catalog.lab import Lab
from catalog.launch import AppFacts, DryRun
from catalog.progress import STANDSTILL, Progress, Round, rounds_and_nodes
from catalog.queue import WORDS, Queue, cost
from catalog.records import AccountDraft
from catalog.release import releases
from catalog.release.looking import look
from catalog.run_records import Artifact, Launch, RunRecord, RunState
from datalab.canonical import sha256_hex
from datalab.errors import NotFoundError
from federation import lab as federation

MAX_APPS = 200
"""Apps that an organisation may hand in; runs are made again from them, so none is removed."""
_PIECE = 1 << 16


def dry_run(lab: Lab, launch: Launch, account: AccountDraft) -> DryRun:
    """Return what would come of a launch.

    Raises:
        NotFoundError: the lab has no such app.
        BadInputError: the app has no such parameter, or it is of another type.
    """
    app, _ = federation.find_app(lab.home, launch.app)
    checking.check_parameters(app, launch.settings)
    checked = checking.dry_run(lab.store, launch, app, federation.nodes(lab.home), account, lab.compute.node)
    places, room = len(launch.places), lab.compute.node_places
    too_large = (f"It needs {places} node places, and the lab has {room}.",) if places > room else ()
    spent = cost(lab.store, lab.compute, account.organisation, launch, app.sha256)
    return checked.model_copy(update={"problems": (*checked.problems, *too_large), "cost": spent})


def submit(lab: Lab, launch: Launch, account: AccountDraft) -> RunRecord:
    """Put a run into the queue, and keep its app: a template may be another one when the run is made again.

    Raises:
        NotPermittedError: the dry run finds something against it.
    """
    checked = dry_run(lab, launch, account)
    if checked.first_problem is None:
        federation.keep_app(lab.home, federation.find_app(lab.home, launch.app)[1])  # before it can be started
    return runs.submit(lab.store, checked, account)


def keep_app(lab: Lab, bundle: bytes, account: AccountDraft) -> AppFacts:
    """Keep an uploaded app.

    Raises:
        BundleError: it is none.
        NotPermittedError: the organisation has handed in as many as it may.
    """
    app, key = federation.check_app(bundle), sha256_hex(bundle)
    with lab.store.change(account.name) as change:  # counted and kept in one: two may arrive at once
        known = change.execute(
            "SELECT DISTINCT subject FROM events WHERE action = 'app.uploaded' AND (details ->> 'organisation') = ?",
            [account.organisation],
        )
        if len(known) >= MAX_APPS and (f"app/{key}",) not in known:
            raise NotPermittedError(
                f"Your organisation has handed in {MAX_APPS} apps, which is as many as the lab keeps for it.",
                next_step="Use one of them by its digest, or ask the lab's operator.",
            )
        change.event(
            "app.uploaded", f"app/{key}", name=app.name, version=app.version, organisation=account.organisation
        )
        federation.keep_app(lab.home, bundle)
    return federation.find_app(lab.home, key)[0]


def app_of(lab: Lab, run: RunRecord) -> AppFacts | None:
    """Return the app of a run, as it was then; None where the lab does not have it any more."""
    try:
        return federation.find_app(lab.home, run.app_digest)[0]
    except NotFoundError:
        return None


def own_apps(lab: Lab, account: AccountDraft) -> list[AppFacts]:
    """Return the apps that the organisation of an account has handed in, the newest first."""
    rows = lab.store.rows(
        "SELECT subject, max(time) AS newest FROM events WHERE action = 'app.uploaded' "
        "AND (details ->> 'organisation') = ? GROUP BY subject ORDER BY newest DESC",
        [account.organisation],
    )
    return [federation.find_app(lab.home, subject.removeprefix("app/"))[0] for subject, _ in rows]


def state_of(lab: Lab, key: str, account: AccountDraft) -> str:
    """Return a text that changes whenever a run's progress does; cheap."""
    return _state(lab, runs.whole(lab.store, key, account))


def _state(lab: Lab, run: RunRecord) -> str:
    ahead = ""
    if run.state is RunState.QUEUED:
        why = Queue(lab.store, lab.compute).why(run.id)
        ahead = f"-{why.why}-{why.ahead}" if why else ""
    elif run.state is RunState.SUBMITTED and (delay := federation.delay(lab.home, run.id)) is not None:
        ahead = f"-{delay[0]}-{sha256_hex(delay[1].encode())[:8]}"
    return f"{run.revision}-{federation.events_size(lab.home, run.id)}{ahead}"


def progress(lab: Lab, key: str, account: AccountDraft) -> Progress:
    """Return how a run goes."""
    run = runs.whole(lab.store, key, account)
    seen = _state(lab, run)
    told, nodes = rounds_and_nodes(federation.events(lab.home, run.id)[1], run.nodes)
    if releases.is_held(run, account):
        told = tuple(one.model_copy(update={"metrics": {}}) for one in told)
    waiting = None
    if run.state is RunState.QUEUED and (why := Queue(lab.store, lab.compute).why(run.id)) is not None:
        waiting = f"{WORDS[why.why]} Runs that go first: {why.ahead}."
    delay = federation.delay(lab.home, run.id) if run.state is RunState.SUBMITTED else None
    if delay is not None:
        waiting = f"{STANDSTILL[delay[0]]} {delay[1]}".strip()
    asked = run.launch.settings.get("num-server-rounds") if run.launch else None
    return Progress(
        id=run.id,
        state=run.state,
        seen=seen,
        started=run.started,
        finished=run.finished,
        reason=releases.shown(run, account).reason,
        waiting=waiting,
        standstill=delay[0] if delay else None,
        said=delay[1] if delay else "",
        rounds_asked=asked if isinstance(asked, int) else None,
        rounds=told,
        nodes=nodes,
    )


def rounds(lab: Lab, run: RunRecord) -> tuple[Round, ...]:
    """Return how a run went, round by round; who asks decides what to show of it."""
    return rounds_and_nodes(federation.events(lab.home, run.id)[1], run.nodes)[0]


def log(lab: Lab, run: RunRecord, account: AccountDraft) -> str:
    """Return what a run's app has said at the lab; nothing to whom that is kept from before its release."""
    return "" if releases.is_held(run, account) else federation.log(lab.home, run.id)


def ask_release(lab: Lab, key: str, text: str, account: AccountDraft) -> RunRecord:
    """Look into what a run left behind, and ask for its release.

    Raises:
        ConflictError: it needs none, has left nothing yet, or was asked for already.
    """
    run = runs.whole(lab.store, key, account)
    looks, names = [], [one.name for one in run.artifacts]
    for one in run.artifacts:
        if one.name != releases.CARD or names.count(one.name) > 1:  # the card the lab itself writes
            with lab.objects.open(_key(lab, one)) as source:
                looks.append(look(one.name, one.bytes, source))
    _, nodes = rounds_and_nodes(federation.events(lab.home, run.id)[1], run.nodes)
    examples = {one.name: one.examples for one in nodes if one.examples is not None}
    return releases.shown(releases.ask(lab.store, key, text, looks, examples, account), account)


def _key(lab: Lab, artifact: Artifact) -> str:
    return artifact.uri.removeprefix(lab.objects.uri(""))


def artifact(lab: Lab, key: str, name: str, account: AccountDraft) -> StreamingResponse:
    """Return one of the files that a run left behind, and put on record who took it.

    Raises:
        NotPermittedError: they are not for this account.
        NotFoundError: it left no such file.
    """
    run = runs.whole(lab.store, key, account)
    runs.check_results(lab.store, run, account)
    releases.check_may_take(run, name, account)
    found = next((one for one in run.artifacts if one.name == name), None)
    if found is None:
        raise NotFoundError(f"The run {key} left no file {name}.", next_step="Its page lists what there is.")
    source = lab.objects.open(_key(lab, found))
    with lab.store.change(account.name) as change:
        change.event("run.artifact-taken", f"run/{key}", name=name, sha256=found.sha256)

    def pieces() -> Iterator[bytes]:
        with source:
            while piece := source.read(_PIECE):
                yield piece

    shown = quote(PurePosixPath(name).name)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{shown}",
        "Content-Length": str(found.bytes),
        "Digest": f"sha-256={found.sha256}",
    }
    return StreamingResponse(pieces(), media_type="application/octet-stream", headers=headers)
