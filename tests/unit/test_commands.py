"""Every subcommand can be loaded, has help that reads like prose, and says what is missing when it is."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from datalab.__main__ import cli
from datalab.errors import ExitCode

COMMANDS = sorted(point.name for point in entry_points(group="datalab.commands"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_its_options(name: str) -> None:
    done = CliRunner().invoke(cli, [*name.split("."), "--help"])
    assert done.exit_code == 0
    command: click.Command | None = cli
    for part in name.split("."):
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), part)
    assert command is not None
    assert (command.help or "").split("\n")[0].endswith((".", ":"))
    undocumented = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert undocumented == []


def test_what_a_command_logs_is_on_standard_error_alone() -> None:
    code = (
        "import structlog; from datalab import __main__ as it; it.cli.main = lambda **_: print('answer', "
        "structlog.get_logger().info('brought back')); it.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "answer None\n"
    assert "brought back" in done.stderr


def test_groups_are_explained_too() -> None:
    done = CliRunner().invoke(cli, ["--help"])
    for group in {name.partition(".")[0] for name in COMMANDS}:
        line = next(line for line in done.output.splitlines() if line.startswith(f"  {group} "))
        assert len(line.split()) > 2, f"{group} has no help"


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = ["dagster", "duckdb", "fastapi", "flwr", "grpc", "numpy", "pandas"]
    code = f"import sys, datalab.__main__; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_whose_extra_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "flwr.py").write_text("raise ModuleNotFoundError('no', name='flwr')", encoding="utf-8")
    (tmp_path / "grpc.py").write_text("raise ModuleNotFoundError('no', name='grpc')", encoding="utf-8")
    (tmp_path / "token").write_text("x", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "datalab", "node", "enrol", "--home", str(tmp_path), "--token-file", tmp_path / "token"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == ExitCode.MISSING_EXTRA, done.stderr
    assert 'pip install "federated-datalab[node]"' in done.stderr
    assert "Traceback" not in done.stderr
