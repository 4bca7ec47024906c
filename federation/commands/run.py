"""``datalab run …``: launches runs through the lab server, follows and cancels them, and runs one again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from catalog.client import LabClient, asked_lab
from catalog.launch import DryRun
from catalog.progress import Progress, Round
from catalog.run_records import ConfigValue, LaunchPlace, RunRecord, RunState
from catalog.running import Run, make_launch
from datalab.boundary import bad_field, read_toml
from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.home import Home
from datalab.permits.claims import Purpose
from datalab.permits.permit import read_claims_unverified
from datalab.supervisor import Supervisor
from federation.bundle import read_bundle
from federation.errors import RunFailedError
from federation.run import RunFolder

_F = TypeVar("_F", bound=Callable[..., Any])
_CARD = "run-card.json"
_BEHIND = "object storage does not take the journal; what it lacks is on this machine's disk only"


def at_lab(command: _F) -> _F:
    """Add the options that say which lab, and who asks."""
    options = (
        click.option(
            "--home",
            type=click.Path(path_type=Path, file_okay=False, exists=True),
            envvar="DATALAB_HOME",
            help="The lab's home, on its own machine: asks as its operator.",
        ),
        click.option("--lab", metavar="URL", envvar="DATALAB_LAB", help="Address of the lab, from elsewhere."),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            envvar="DATALAB_TOKEN_FILE",
            help="File with your API token, from your account's page.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@at_lab
@click.option(
    "--file",
    "run_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A run.toml, which says all this; what is given here goes over it.",
)
@click.option(
    "--app", help="Name of a template, or folder or bundle (`flwr build`) of a Flower app, which is handed in."
)
@click.option(
    "--place", "places", multiple=True, help="DATASET or NODE=DATASET, each with @VERSION if you like; repeatable."
)
@click.option("--permit", help="Id of the data permit, or the file that it is in.")
@click.option(
    "--purpose",
    type=click.Choice([one.value for one in Purpose]),
    help="Letter of EHDS Art. 53(1), as the permit has it; e-ii is training and testing algorithms.",
)
@click.option("--app-signature", type=click.File("r"), help="From `datalab app sign`, for nodes that trust the signer.")
@click.option("--config", "settings", multiple=True, help="KEY=VALUE for the app, VALUE as JSON or text; repeatable.")
@click.option(
    "--config-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file of settings for the app; --config goes over it.",
)
@click.option(
    "--rounds", type=click.IntRange(1), help="How many rounds of training; the app's own number unless given."
)
@click.option("--seed", type=click.IntRange(0), help="Same seed, same parameters; 0 by default.")
@click.option("--deadline-minutes", type=click.IntRange(1), help="The run is stopped after this time.")
@click.option(
    "--priority",
    type=click.IntRange(-10, 10),
    help="Higher goes first among your organisation's own runs; 0 by default.",
)
@click.option("--dry-run", is_flag=True, help="Say for each site whether the run could start, and start nothing.")
@click.option("--detach", is_flag=True, help="Return once it is in the queue.")
def submit(
    home: Path | None,
    lab: str | None,
    token_file: Path | None,
    run_file: Path | None,
    app: str | None,
    places: tuple[str, ...],
    permit: str | None,
    app_signature: Any,
    settings: tuple[str, ...],
    config_file: Path | None,
    *,
    dry_run: bool,
    detach: bool,
    **others: Any,
) -> None:
    """Launch a federated run and show it round by round until it ends.

    It waits in the lab's queue for its turn. Every node decides for itself whether it takes part: its policy must allow
    the app, the dataset and the purpose, and the permit must be signed by a key that it pins.
    """
    asked = {
        **(read_toml(run_file) if run_file else {}),
        **{key: one for key, one in others.items() if one is not None},
    }
    app, permit = app or asked.pop("app", None), permit or asked.pop("permit", None)
    asked = {key: one for key, one in asked.items() if key not in {"app", "permit"}}
    if app is None or permit is None:
        raise BadInputError("A run needs --app and --permit.", next_step="Give them, or write them into --file.")
    parameters = {**asked.pop("parameters", {}), **(read_toml(config_file) if config_file else {})}
    if app_signature:
        asked["app_signature"] = app_signature.read().strip()
    with asked_lab(home, lab, token_file) as client:
        launch = make_launch(
            app=client.upload_app(read_bundle(Path(app))).sha256 if Path(app).exists() else app,
            places=[*(_toml_place(one) for one in asked.pop("places", ())), *(_place(one) for one in places)],
            permit=_permit_id(permit),
            parameters={**parameters, **dict(setting(one) for one in settings)},
            **asked,
        )
        if dry_run:
            _say_dry_run(client.dry_run(launch))
            return
        run = client.runs.submit(launch)
        click.echo(f"{run.id} submitted")
        if not detach:
            _follow(run)


@click.command()
@click.argument("run")
@at_lab
def watch(run: str, home: Path | None, lab: str | None, token_file: Path | None) -> None:
    """Show the run RUN round by round until it ends."""
    with asked_lab(home, lab, token_file) as client:
        _follow(client.runs.get(run))


@click.command()
@click.argument("run")
@at_lab
def cancel(run: str, home: Path | None, lab: str | None, token_file: Path | None) -> None:
    """Stop the run RUN at every node, or take it out of the queue."""
    with asked_lab(home, lab, token_file) as client:
        client.runs.get(run).cancel()
    click.echo(f"{run} is cancelled")


@click.command("list")
@at_lab
def list_runs(home: Path | None, lab: str | None, token_file: Path | None) -> None:
    """List the runs that you may see, the newest first."""
    with asked_lab(home, lab, token_file) as client:
        for run in sorted(client.runs.all(), key=lambda one: one.created, reverse=True):
            used = ", ".join(f"{one.dataset} v{one.version}" for one in run.datasets)
            click.echo(f"{run.id:<34} {run.state:<10} {run.created:%Y-%m-%d %H:%M}  {used}")


@click.command()
@click.argument("run")
@at_lab
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the files.")
def download(run: str, home: Path | None, lab: str | None, token_file: Path | None, out: Path) -> None:
    """Download what the run RUN left behind, and check it against the checksums on record."""
    with asked_lab(home, lab, token_file) as client:
        for path in client.runs.get(run).download(out):
            click.echo(str(path))


@click.command()
@click.argument("run")
@at_lab
@click.option("--reason", required=True, help="What the files are needed for; whoever decides reads it.")
def release(run: str, home: Path | None, lab: str | None, token_file: Path | None, reason: str) -> None:
    """Ask that what the run RUN left behind may leave the lab, where its permit or a dataset makes that a decision."""
    with asked_lab(home, lab, token_file) as client:
        found = client.runs.get(run).ask_release(reason)
    click.echo(f"The release of {run} is {found.release.state if found.release else 'not needed'}.")


@click.command()
@click.argument("run")
@at_lab
def reproduce(run: str, home: Path | None, lab: str | None, token_file: Path | None) -> None:
    """Run RUN again, with the same app, data, parameters and seed, and say whether the result is the same."""
    with asked_lab(home, lab, token_file) as client:
        before = client.run(run)
        if before.launch is None or before.state is not RunState.FINISHED:
            raise RefusedError("Only a finished run that came through the queue can be run again.", where=f"run {run}")
        if before.card is None:
            raise RefusedError(
                "What it left is held, so nothing can be compared with it.",
                where=f"run {run}",
                next_step=f"Ask for its release first: datalab run release {run} --reason …",
            )
        launch = before.launch.model_copy(update={"app": before.app_digest, "clone_of": run})
        checked = client.dry_run(launch)
        if (problem := checked.first_problem) is not None:
            raise RefusedError(
                f"What it was made from is no longer to be had: {problem[0]}",
                where=problem[1],
                next_step="Its run card says what the inputs were.",
            )
        erased = _erased_since(client, before)
        if erased:
            click.echo(f"people were erased from its inputs since: {erased}; the result may be another one")
        again = client.runs.submit(launch)
        click.echo(f"{again.id} submitted, as {run} was")
        _follow(again)
        after = again.record()
        if after.card is None:
            raise RefusedError(
                "What the second run left is held until it is released.",
                where=f"run {again.id}",
                next_step="Compare the two on the page /runs/compare once both are released.",
            )
        _compare(before, after, erased)


@click.command()
@click.option(
    "--home",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    envvar="DATALAB_HOME",
    help="The lab's home, where the run's folder is.",
)
@click.argument("run")
def resume(folder: Path, run: str) -> None:
    """Go on with a run that was interrupted, and show it until it ends.

    The app is run again from its beginning, with what its nodes have answered so far; none of them does anything twice.
    A run whose folder is gone is brought back from the lab's object storage first. `datalab up` does all of this by
    itself: the command is for a run that was begun elsewhere.
    """
    from federation import client

    found = client.recover(Home(folder), run)
    if found is None:
        raise NotFoundError(f"There is no run {run} in {folder}, nor is the journal of one in its object storage.")
    found.check_resumable()
    with Supervisor() as supervisor:
        _show(found, client.conduct(found, supervisor))


def _show(run: RunFolder, events: Iterator[dict[str, Any]]) -> None:
    """Show a run round by round, and in the end what it has left behind."""
    for event in events:
        if event["event"] == "round":
            click.echo(round_line(event))
        elif event["event"] == "node":
            click.echo(f"node {event['node']} is {event['state']}")
        elif event["event"] == "journal":
            click.echo("the journal is in object storage" if event["state"] == "shipped" else _BEHIND)
        elif event["event"] == "resumed":
            click.echo(f"resumed; {event['tasks']} messages are known from before")
    click.echo(f"completed; run card: {run.card}")
    for path in sorted(run.artifacts.iterdir()):
        click.echo(f"artifact: {path}")


def round_line(event: dict[str, float]) -> str:
    """Return one round as a line for people: number, loss, seconds, bytes each way."""
    loss = "-" if event["loss"] is None else f"{event['loss']:.4f}"
    return (
        f"round {event['number']:>3}   loss {loss}   {event['seconds'] * 1000:7.1f} ms   "
        f"{event['bytes_down'] / 1000:8.1f} kB to nodes   {event['bytes_up'] / 1000:8.1f} kB back"
    )


def _follow(run: Run) -> None:
    """Say what happens until the run is over; RunFailedError if it does not finish."""
    said, waiting = 0, ""
    goes: Progress | None = None
    for goes in run.watch():
        if goes.waiting and goes.waiting != waiting:
            waiting = goes.waiting
            click.echo(f"waits: {waiting}")
        for one in _ended(goes)[said:]:
            click.echo(round_line(one.model_dump()))
            said += 1
    assert goes is not None, "watching yields at least once"
    if goes.state is not RunState.FINISHED:
        raise RunFailedError(goes.reason or f"The run is {goes.state}.", where=f"run {run.id}")
    record = run.record()
    if record.release is not None and record.release.state != "released":
        click.echo("completed; what it left is held until it is released")
        click.echo(f"ask for that with: datalab run release {run.id} --reason …")
        return
    click.echo(f"completed; run card: {_CARD}")
    for artifact in record.artifacts:
        click.echo(f"artifact: {artifact.name}   {artifact.bytes} bytes   sha256 {artifact.sha256}")
    click.echo(f"fetch them with: datalab run download {run.id} --out FOLDER")


def _ended(goes: Progress) -> tuple[Round, ...]:
    """Return the rounds that are over: all but the last, while the run goes on."""
    return goes.rounds if goes.over else goes.rounds[:-1]


def _erased_since(client: LabClient, run: RunRecord) -> str:
    """Return from which of a run's inputs people were erased after it had begun, and when; "" for none."""
    since, found = run.started or run.created, []
    for one in run.datasets:
        later = [stone.at for stone in client.version(one.dataset, one.version).erasures if stone.at > since]
        found += [f"{one.dataset} v{one.version} on {later[-1]:%Y-%m-%d}"] if later else []
    return ", ".join(found)


def _compare(before: RunRecord, after: RunRecord, erased: str) -> None:
    first = {one.name: one.sha256 for one in before.artifacts if one.name != _CARD}
    second = {one.name: one.sha256 for one in after.artifacts if one.name != _CARD}
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if differing:
        raise RunFailedError(
            f"The result is not the same: {', '.join(differing)}."
            + (f" People were erased from its inputs since: {erased}." if erased else ""),
            where=f"{before.id} and {after.id}",
        )
    click.echo(f"the same, byte for byte: {', '.join(sorted(first)) or 'neither left a file'}")


def _say_dry_run(found: DryRun) -> None:
    for one in found.problems:
        click.echo(f"no   {one}")
    words = {True: "yes", False: "no", None: "?"}
    for site in found.sites:
        click.echo(f"{site.dataset} v{site.version} at {site.node}")
        for clause in site.clauses:
            click.echo(f"  {words[clause.holds]:<4} {clause.name:<7} {clause.why}")
    if (cost := found.cost) is not None:
        quota = "" if cost.quota is None else f"; {cost.used:.2f} of {cost.quota:g} node-hours of your quota are used"
        click.echo(f"estimated cost: {cost.node_hours:.2f} node-hours{quota}")
    if (problem := found.first_problem) is not None:
        raise RefusedError(problem[0], where=problem[1], next_step="Nothing was started.")
    click.echo("As far as the lab can tell, it can start; each node decides for itself.")


def _permit_id(text: str) -> str:
    path = Path(text)
    if not path.is_file() and (path.suffix or "/" in text):
        raise NotFoundError(
            f"There is no file {text}.", next_step="Name the permit's file, or its id where the lab has it on record."
        )
    return read_claims_unverified(path.read_text(encoding="ascii").strip()).id if path.is_file() else text


def _place(text: str) -> LaunchPlace:
    node, equals, rest = text.rpartition("=")
    dataset, at, version = rest.partition("@")
    if not dataset or (equals and not node) or (at and not version.isdigit()):
        raise BadInputError(f"--place {text!r} is not DATASET or NODE=DATASET, with or without @VERSION.")
    return _toml_place({"dataset": dataset, "node": node or None, "version": int(version) if version else None})


def _toml_place(said: Any) -> LaunchPlace:
    try:
        return LaunchPlace.model_validate(said)
    except ValidationError as error:
        raise bad_field("A place", error) from error


def setting(text: str) -> tuple[str, ConfigValue]:
    """Return what ``KEY=VALUE`` says; the value is JSON, or else text."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadInputError(f"--config {text!r} is not KEY=VALUE.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
