"""``datalab run submit``: launches a federated run and shows its rounds as they happen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click
from pydantic import ValidationError

from datalab.boundary import bad_field, read_toml
from datalab.errors import BadInputError
from datalab.home import Home
from datalab.permits.claims import Purpose
from datalab.supervisor import Supervisor
from federation.run import ConfigValue, RunFolder, RunPlace

_home = click.option(
    "--home",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    envvar="DATALAB_HOME",
    help="The lab's home, where `datalab up` runs.",
)


@click.command()
@_home
@click.option(
    "--app",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Folder of the Flower app.",
)
@click.option(
    "--place", "places", multiple=True, required=True, help="NODE=DATASET or NODE=DATASET@VERSION; repeatable."
)
@click.option("--permit", type=click.File("r"), required=True, help="File with the signed data permit.")
@click.option(
    "--purpose",
    type=click.Choice([purpose.value for purpose in Purpose]),
    required=True,
    help="Letter of EHDS Art. 53(1); the permit must allow it.",
)
@click.option(
    "--app-signature", type=click.File("r"), help="File from `datalab app sign`, for nodes that trust its signer."
)
@click.option("--config", "settings", multiple=True, help="KEY=VALUE for the app, VALUE as JSON or text; repeatable.")
@click.option(
    "--config-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file of settings for the app; --config goes over it.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same parameters.")
def submit(
    folder: Path,
    app: Path,
    places: tuple[str, ...],
    permit: IO[str],
    purpose: str,
    app_signature: IO[str] | None,
    settings: tuple[str, ...],
    config_file: Path | None,
    seed: int,
) -> None:
    """Launch a federated run and show it round by round until it ends.

    Every node decides for itself whether it takes part: its policy must allow the app, the dataset and the purpose, and
    the permit must be signed by a key that it pins. If one refuses, the run ends and says which and why.
    """
    from federation import client

    submitted = client.submit(
        Home(folder),
        app,
        places=[_place(one) for one in places],
        permit=permit.read().strip(),
        purpose=purpose,
        app_signature=app_signature.read().strip() if app_signature else "",
        config={**(read_toml(config_file) if config_file else {}), **dict(_setting(one) for one in settings)},
        seed=seed,
    )
    click.echo(f"{submitted.path.name} submitted")
    with Supervisor() as supervisor:
        _show(submitted, client.conduct(submitted, supervisor))


@click.command()
@_home
@click.argument("run")
def resume(folder: Path, run: str) -> None:
    """Go on with a run that was interrupted, and show it until it ends.

    The app is run again from its beginning, with what its nodes have answered so far; none of them does anything twice.
    `datalab up` does this by itself: the command is for a run that was begun elsewhere.
    """
    from federation import client

    found = client.find(Home(folder), run)
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


def _place(text: str) -> RunPlace:
    node, equals, rest = text.partition("=")
    dataset, at, version = rest.partition("@")
    if not (node and equals and dataset) or (at and not version.isdigit()):
        raise BadInputError(f"--place {text!r} is not NODE=DATASET or NODE=DATASET@VERSION.")
    try:
        return RunPlace(node=node, dataset=dataset, version=int(version or 1))
    except ValidationError as error:
        raise bad_field(f"--place {text!r}", error) from error


def _setting(text: str) -> tuple[str, ConfigValue]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadInputError(f"--config {text!r} is not KEY=VALUE.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
