"""Stock Flower, to compare with: a SuperLink and SuperNodes with TLS, started by Flower's own commands."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datalab.home import Home
from datalab.service import free_ports
from federation.pki.local import create_federation, issue_gateway_certificate
from tests.support.federation import ECHO

HOST = "localhost"
FLWR = str(Path(sys.executable).parent / "flwr")
READY_SECONDS = 120.0
STOP_SECONDS = 30.0


def measure(*, nodes: int, size: int, rounds: int, folder: Path) -> float:
    """Run the echo app and return the seconds of a round, as Flower's own strategy measures them.

    Args:
        nodes: number of SuperNodes.
        size: bytes of the model.
        rounds: number of rounds.
        folder: for everything that is written.
    """
    config = {"bytes": size, "num-server-rounds": rounds, "distinct": True}
    said = run(ECHO, config, [""] * nodes, folder)
    found = re.search(r"Strategy execution finished in ([0-9.]+)s", said)
    if found is None:
        raise RuntimeError(f"Flower's run did not finish: {said[-2000:]}")
    return float(found[1]) / rounds


def run(app: Path, config: Mapping[str, Any], nodes: Sequence[str], folder: Path) -> str:
    """Run an app on an engine of its own, and return what Flower's command said (arguments as of both below)."""
    with engine(nodes, folder) as environment:
        return run_on(environment, app, config)


def run_on(environment: Mapping[str, str], app: Path, config: Mapping[str, Any]) -> str:
    """Run an app on an engine, and return what Flower's command said.

    Args:
        environment: of the engine's commands, as ``engine`` yields it.
        app: its folder.
        config: over the app's own.
    """
    given = " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())
    done = subprocess.run(
        [FLWR, "run", str(app), "here", "--run-config", given, "--stream"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def build(apps: Sequence[Path], folder: Path) -> None:
    """Make bundles of apps in a folder, by Flower's own command."""
    for app in apps:
        subprocess.run([FLWR, "build", "--app", str(app)], cwd=folder, env=_quiet(folder), check=True)


@contextlib.contextmanager
def engine(nodes: Sequence[str], folder: Path) -> Iterator[dict[str, str]]:
    """Start a SuperLink and its SuperNodes, and yield the environment in which Flower's commands find them.

    Args:
        nodes: configuration of each SuperNode, as its command takes it.
        folder: for everything that is written.
    """
    tls, root = _certificates(folder)
    link, *others = free_ports("127.0.0.1", 1 + len(nodes))
    environment = _quiet(folder)
    settings = Home(folder / "flower").folder() / "config.toml"
    settings.write_text(
        f'[superlink.here]\naddress = "{HOST}:{link}"\nroot-certificates = "{root}"\n', encoding="utf-8"
    )
    commands = [
        ["flower-superlink", *tls, "--port", str(link), "--disable-runtime-dependency-installation"],
        *(
            [
                "flower-supernode",
                *tls,
                "--root-certificates",
                str(root),
                "--superlink",
                f"{HOST}:{link}",
                "--port",
                str(port),
                *(["--node-config", node] if node else []),
            ]
            for port, node in zip(others, nodes, strict=True)
        ),
    ]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "flower.log").open("wb") as log:
            processes.extend(
                subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
                for command in commands
            )
        _wait_for_nodes(len(nodes), environment)
        yield environment
    finally:
        for process in reversed(processes):
            process.terminate()  # it stops what it has started in sessions of their own
        for process in reversed(processes):
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _quiet(folder: Path) -> dict[str, str]:
    """Return the environment of Flower's commands, which neither phone home nor look for updates."""
    return {
        **os.environ,
        "FLWR_HOME": str(folder / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def _certificates(folder: Path) -> tuple[list[str], Path]:
    """Return the options that give a process its certificate, and the file of the root that signed it."""
    lab = Home(folder / "authority")
    create_federation(lab)
    own = issue_gateway_certificate(lab)
    files = {"key.pem": own.key_pem, "chain.pem": own.chain_pem, "root.pem": own.trust_pem}
    for name, pem in files.items():
        (folder / name).write_bytes(pem)
    key, chain, root = (folder / name for name in files)
    return ["--ssl-certfile", str(chain), "--ssl-keyfile", str(key), "--ssl-ca-certfile", str(root)], root


def _wait_for_nodes(nodes: int, environment: dict[str, str]) -> None:
    """Wait until all SuperNodes are online, so that no round waits for one."""
    deadline = time.monotonic() + READY_SECONDS
    said = ""
    while said.count('"online"') < nodes:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Flower's nodes are not online: {said}")
        time.sleep(1.0)
        listed = subprocess.run(
            [FLWR, "supernode", "list", "here", "--format", "json"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = listed.stdout + listed.stderr
