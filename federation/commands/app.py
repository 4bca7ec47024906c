"""``datalab app list, new, test, show, sign``: templates, trying an app out, its digest, and a signature over it."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from datalab.errors import NotFoundError, NotWritableError
from datalab.home import write_atomically
from datalab.permits.keys import load_private_key
from datalab.supervisor import Supervisor
from federation.app_signature import sign_app
from federation.bundle import check_config, describe, digest, read_app, read_bundle
from federation.commands.run import round_line, setting
from federation.errors import RunFailedError
from federation.templates import copy_template, templates
from federation.trial import EXAMPLE, SAMPLE, Sample, app_logs, example_settings, try_app


@click.command()
@click.argument("source", metavar="APP", type=click.Path(path_type=Path, exists=True))
def show(source: Path) -> None:
    """Print what the Flower app APP is, a folder or a bundle, and its digest.

    A node runs an app only if its operator has approved this digest, with `datalab node approve` or under
    [[policy.apps]] in node.toml, or trusts its signer. The same files always give the same digest, and any change gives
    another one. A bundle that Flower has made (`flwr build`) has the digest that Flower gives it, not its folder's.
    """
    bundle = read_bundle(source)
    app = describe(bundle)
    click.echo(f"name        {app.name} {app.version}")
    click.echo(f"ClientApp   {app.client_app}")
    click.echo(f"ServerApp   {app.server_app}")
    for key, value in sorted(app.config.items()):
        parameter = app.parameters.get(key)
        known = f"   ({parameter}) {parameter.help}" if parameter else ""
        click.echo(f"config      {key} = {value!r}{known}")
    click.echo(f"sha256      {digest(bundle)}")


@click.command()
@click.argument("source", metavar="APP", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    required=True,
    help="The signer's private key file (a pair is made with `datalab permit keygen`).",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where it goes; without it, to standard output.")
def sign(source: Path, key_file: Path, out: Path | None) -> None:
    """Sign the Flower app APP, a folder or a bundle, for nodes that trust the key's public half.

    They have it under [[policy.signers]] in node.toml.

    What is signed is the app's digest: any change to its files needs another signature. Hand it to
    `datalab run submit --app-signature`.
    """
    bundle = read_bundle(source)
    describe(bundle)  # nobody signs what is no app
    sha256 = digest(bundle)
    signature = sign_app(sha256, load_private_key(key_file))
    if out is None:
        click.echo(signature)
        return
    try:
        write_atomically(out, signature.encode("ascii") + b"\n", mode=0o644)
    except OSError as error:
        raise NotWritableError(
            f"Cannot write the signature to {out}: {error.strerror}.", next_step="Name another file."
        ) from error
    click.echo(f"Signature of the app {sha256} written to {out}")


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_apps(*, as_json: bool) -> None:
    """Print the apps that come with Datalab, each ready for use and a starting point for one's own."""
    if as_json:
        found = {name: {"version": app.version, "description": app.description} for name, app in templates().items()}
        click.echo(json.dumps(found, indent=2))
        return
    width = max(map(len, templates()))
    for name, app in templates().items():
        click.echo(f"{name:<{width}}  {app.version}  {app.description}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--template", required=True, help="One of `datalab app list`.")
def new(folder: Path, template: str) -> None:
    """Copy a template into FOLDER, as the beginning of an app of one's own.

    The copy is whole: it is also run by Flower itself (`flwr run FOLDER`). Its README says what leaves a site.
    """
    try:
        copy_template(template, folder)
    except OSError as error:
        raise NotWritableError(
            f"Cannot write to {folder}: {error.strerror}.", next_step="Name another folder."
        ) from error
    click.echo(
        f"Copied {template} to {folder}. Its README.md says what it does; try it with: datalab app test {folder}"
    )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"CSV file with a header; a column `site` says whose a row is. Without it, {SAMPLE} of the app.",
)
@click.option("--sites", type=click.IntRange(1, 20), default=3, show_default=True, help="How many virtual sites.")
@click.option(
    "--config", "settings", multiple=True, help=f"KEY=VALUE over [config] in the app's {EXAMPLE}; repeatable."
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep everything in this new folder; without it, what the app wrote is printed and all is removed.",
)
def test(folder: Path, data: Path | None, sites: int, settings: tuple[str, ...], keep: Path | None) -> None:
    """Try the Flower app in FOLDER on sample data, at virtual sites on this machine.

    Every part is the real one, a process each: gateway, nodes with policy and sandbox, runner, mutual TLS. Only keys,
    permit and data are made for the trial.
    """
    path = data or folder / SAMPLE
    if not path.exists():
        raise NotFoundError(f"The app has no {SAMPLE}.", where=str(folder), next_step="Name a CSV file with --data.")
    sample = Sample.read(path, sites)
    config = {**example_settings(folder), **dict(setting(one) for one in settings)}
    check_config(read_app(folder), config)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops what was started, as Ctrl-C does
    with tempfile.TemporaryDirectory(prefix="datalab-trial-") as temporary, Supervisor() as supervisor:
        place = keep.absolute() if keep else Path(temporary)
        try:
            run = try_app(folder, sample, folder=place, config=config, supervisor=supervisor, on_event=_show)
        except RunFailedError:
            for log in app_logs(place):  # the sample is the developer's own: here, a trace may be seen
                click.echo(log.read_text(encoding="utf-8", errors="replace"), err=True)
            raise
        click.echo(f"completed at {len(sample.sites)} sites: {', '.join(sample.sites)}")
        for artifact in sorted(run.artifacts.iterdir()):
            click.echo(f"{artifact.name}: {artifact.stat().st_size} bytes" + (f", {artifact}" if keep else ""))
            if artifact.suffix == ".json":
                click.echo(artifact.read_text(encoding="utf-8"))


def _show(event: Mapping[str, Any]) -> None:
    if event["event"] == "round":
        click.echo(round_line(dict(event)))
