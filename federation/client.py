"""Submitting and watching runs, and the nodes: all that the catalog's pages see of the federation."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

from pydantic import ValidationError

from datalab.boundary import bad_field
from datalab.errors import DatalabError, NotFoundError, error_of_child
from datalab.home import Home, write_atomically
from datalab.supervisor import Supervisor
from federation.bundle import check_config, describe, digest, read_bundle
from federation.errors import FolderLostError, RunFailedError
from federation.nodes import Node, Waiting, approve_node, invite_node, nodes, revoke_node, waiting_nodes
from federation.pki.identity import Role
from federation.pki.local import invite, open_registry
from federation.recovery import recover
from federation.run import COMPLETED, FAILED, ConfigValue, RunFolder, RunPlace, RunSpec
from federation.sandbox.limits import Limits

__all__ = [
    "Node",
    "Waiting",
    "approve_node",
    "conduct",
    "give_up",
    "interrupted",
    "invite_node",
    "nodes",
    "recover",
    "revoke_node",
    "start",
    "submit",
    "waiting_nodes",
    "watch",
]
MAX_RESTARTS = 5
"""Times that a runner may die without having got any further."""
_FIRST_WAIT = 0.5
_POLL = 0.02


class Asked(TypedDict, total=False):
    """What is asked of a run, but for its app.

    Attributes:
        run_id: name of the run; made from the time if it is not given.
        places: nodes and the dataset versions that they train on.
        permit: signed data permit.
        purpose: letter of EHDS Art. 53(1).
        app_signature: from ``datalab app sign``, for nodes that trust its signer.
        config: run configuration over the app's defaults.
        seed: see ``RunSpec``.
        timeout: seconds to wait for the nodes.
        grace: see ``RunSpec``.
        limits: see ``RunSpec``.
        record: whether the run is recorded in the lab's catalog; it is unless this says otherwise.
    """

    run_id: str | None
    places: Required[Sequence[RunPlace]]
    permit: Required[str]
    purpose: Required[str]
    app_signature: str
    config: Mapping[str, ConfigValue] | None
    seed: int
    timeout: float
    grace: float
    limits: Limits | None
    record: bool


def submit(home: Home, app: Path, **asked: Unpack[Asked]) -> RunFolder:
    """Lay out a run's folder in the lab's ``home``: the app's bundle, what is asked for, and the runner's token.

    Args:
        home: the lab's home.
        app: folder of the Flower app, or its bundle.
        asked: see ``Asked``.

    Raises:
        DatalabError: the app is not a Flower app, has no such setting, or a node is not a member; or the federation is
            not set up.
    """
    bundle = read_bundle(app)
    check_config(describe(bundle), asked.get("config") or {})
    return lay_out(home, bundle, **asked)


def lay_out(home: Home, bundle: bytes, **asked: Unpack[Asked]) -> RunFolder:
    """Lay out the folder of a run of a bundle; errors are those of ``submit``."""
    _check_members(home, asked["places"])
    name = asked.pop("run_id", None) or f"run-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.urandom(3).hex()}"
    lab_home = str(home.path.resolve()) if asked.pop("record", True) else None
    config = dict(asked.pop("config", None) or {})
    try:
        spec = RunSpec.model_validate(
            {**asked, "id": name, "app_sha256": digest(bundle), "config": config, "lab_home": lab_home}
        )
    except ValidationError as error:
        raise bad_field("The run", error) from error
    folder = RunFolder(home.folder("runs", name))
    token = invite(home, Role.RUNNER, name)
    write_atomically(folder.bundle, bundle)
    write_atomically(folder.token, token.encode())
    folder.write_spec(spec)
    return folder


def _check_members(home: Home, places: Sequence[RunPlace]) -> None:
    members = {one.name for one in open_registry(home).members() if one.role is Role.NODE and one.revoked is None}
    for place in places:
        if place.node not in members:
            known = ", ".join(sorted(members)) or "none yet"
            raise NotFoundError(f"The federation has no node {place.node}.", next_step=f"It has: {known}.")


def start(folder: RunFolder, supervisor: Supervisor) -> subprocess.Popen[bytes]:
    """Start the runner of a run that has been submitted, as a process of its own that ends with ``supervisor``."""
    return supervisor.start("runner", "federation.runner", Home(folder.path), wait=False)


def watch(folder: RunFolder, runner: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the run's events as they happen, until its runner has ended.

    Raises:
        RunFailedError: the run did not complete; the exit code is the runner's own.
    """
    outcome = ""
    for event in _follow(_Tail(folder.events), runner):
        outcome = event.get("outcome", outcome)
        yield event
    if runner.returncode != 0 or outcome != COMPLETED:
        raise failure(folder, runner.returncode)


def conduct(folder: RunFolder, supervisor: Supervisor) -> Iterator[dict[str, Any]]:
    """Start a run's runner, and again whenever it dies; yield the run's events as they happen, until it has ended.

    A runner that is started again goes on where the run was (``federation.runner.journal``). A run whose runner dies
    ``MAX_RESTARTS`` times without getting any further has failed, and that is put on record.

    Raises:
        RunFailedError: the run did not complete.
        FolderLostError: the run's folder is gone.
    """
    with folder.keeping():
        code = yield from _keep(folder, supervisor)
    if not folder.spec.exists():
        raise FolderLostError(folder.path)
    if folder.read_card()["outcome"] != COMPLETED:
        raise failure(folder, code)


def _keep(folder: RunFolder, supervisor: Supervisor) -> Generator[dict[str, Any], None, int]:
    """As ``conduct``; return the exit code of the last runner."""
    tail, restarts = _Tail(folder.events), Restarts(folder)
    while True:
        restarts.starting()
        runner = start(folder, supervisor)
        yield from _follow(tail, runner)
        supervisor.forget(runner)
        wait = restarts.ended(failure(folder, runner.returncode).what)
        if wait is None:
            return runner.returncode
        time.sleep(wait)


class Restarts:
    """Decides whether the runner of a run is started again.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._reached = 0
        self._vain = 0

    def starting(self) -> None:
        """Take note of how far the run is, as a runner starts."""
        self._reached = self._folder.progress

    def ended(self, why: str) -> float | None:
        """Return the seconds until the next runner is started, or None where the run has ended.

        A run whose runner has died ``MAX_RESTARTS`` times without getting any further is given up.

        Args:
            why: what the runner has said of its end.
        """
        if not self._folder.unfinished:
            return None
        self._vain = 0 if self._folder.progress > self._reached else self._vain + 1
        if self._vain > MAX_RESTARTS:
            give_up(self._folder, f"The run's runner ended {self._vain} times without getting any further. {why}")
            return None
        return _FIRST_WAIT * 2**self._vain if self._vain else 0.0


def interrupted(home: Home, ended: set[str] | None = None) -> list[RunFolder]:
    """Return the runs that have begun and not ended, and that no process conducts.

    Args:
        home: the lab's home.
        ended: names of runs that have ended, which are not looked at again; those that are found to have are added.
    """
    ended = set() if ended is None else ended
    folders = [RunFolder(path) for path in sorted(home.folder("runs").iterdir()) if path.name not in ended]
    ended.update(one.path.name for one in folders if one.card.exists() and not one.unfinished)
    return [one for one in folders if one.unfinished and one.events.exists() and not one.conducted]


def give_up(folder: RunFolder, why: str) -> None:
    """End an interrupted run as failed, and put that on record.

    Raises:
        DatalabError: the run cannot be read, or the lab does not answer.
    """
    from federation.runner.conductor import Conductor
    from federation.runner.watch import Watch

    with folder.conducting():
        watch = Watch(folder.events)
        try:
            Conductor(folder, folder.read_spec(), watch).abandon(why)
        except RunFailedError:  # as it is to be
            watch.say("end", outcome=FAILED, reason=why)
        finally:
            watch.close()


class _Tail:
    """The events of a run that have not been read yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                yield json.loads(line)


def _follow(tail: _Tail, runner: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield events until the runner has ended."""
    while True:
        ended = runner.poll() is not None
        yield from tail.read()
        if ended:
            return
        time.sleep(_POLL)


def failure(folder: RunFolder, code: int) -> DatalabError:
    """Return the error with which a runner ended, from its log."""
    log = Home(folder.path).log_file("runner")
    output = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    fallback = f"The run ended unexpectedly (exit code {code}); its log is {log}."
    return error_of_child(output, code, fallback, RunFailedError)
