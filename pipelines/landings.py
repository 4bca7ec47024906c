"""What has landed and waits to be curated, and doing it: a Dagster sensor finds it, and each is a run of its own.

An upload is due if no version was made of it, or, if it is its dataset's newest, none by the contract as it is now. One
that was refused is due again when the contract is another.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from catalog.client import lab_client
from catalog.upload_records import Landed
from datalab.canonical import sha256_file
from datalab.errors import DatalabError, ExitCode, NotFoundError, error_of_child
from datalab.home import Home, write_atomically
from datalab.service import python_module
from pipelines.outcome import Outcome
from pipelines.sources import find_contract

MOST_TRIES = 4
FIRST_WAIT = 2.0
"""Seconds before a run that met a silent service is started again; four times as long each time."""
_REFUSED = "refused.json"


@dataclass(frozen=True)
class Due:
    """An upload that waits.

    Attributes:
        key: of the upload and the contract, by which it is known whether it was refused before.
        number: of the version that it will most likely become.
    """

    landing: Landed
    key: str
    number: int


@dataclass(frozen=True)
class Done:
    """What became of it: the version, or why there is none."""

    landing: Landed
    outcome: Outcome | None
    error: DatalabError | None


def due(landings: Iterable[Landed], contract_of: Callable[[Landed], str], refused: Collection[str]) -> Iterator[Due]:
    """Yield what is due, in the order in which it came.

    Args:
        landings: of all datasets, the oldest first.
        contract_of: returns the digest of the contract that a landing's dataset is registered with.
        refused: keys of what was refused.
    """
    found: dict[str, int] = {}
    for landing in landings:
        contract = contract_of(landing)
        key = f"{landing.upload.id}|{contract}"
        fresh = not landing.published_by or landing.newest
        if contract in landing.published_by or not fresh or key in refused:
            continue
        found[landing.upload.dataset] = found.get(landing.upload.dataset, 0) + 1
        yield Due(landing, key, landing.versions + found[landing.upload.dataset])


def waiting(home: Home) -> list[Due]:
    """Ask the lab what is due. A dataset whose contract is missing has nothing that is."""
    with lab_client(home, "pipeline") as lab:
        landings = lab.landings()
        datasets = {one.upload.dataset for one in landings}
        digests: dict[str, str] = {}
        for dataset in datasets:
            try:
                digests[dataset] = sha256_file(find_contract(home, lab.dataset(dataset)))
            except NotFoundError:
                continue
    known = [one for one in landings if one.upload.dataset in digests]
    return list(due(known, lambda one: digests[one.upload.dataset], _refused(home)))


def curate_all(home: Home, uploads: Iterable[tuple[Landed, str]], *, at_once: int) -> Iterator[Done]:
    """Run the pipeline over each upload, some at once; those of one dataset wait for each other.

    A run that met a silent lab or object store is started again, later each time, and goes on where it was. What is
    refused is written down, so that it is not tried again before something changes.
    """
    with ThreadPoolExecutor(at_once) as pool:
        for (_, key), done in pool.map(lambda one: (one, _curate(home, one[0])), uploads):
            if done.error is not None and done.error.exit_code is not ExitCode.SERVICE_FAILED:
                write_atomically(_file(home), json.dumps(sorted({*_refused(home), key})).encode())
            yield done


def _curate(home: Home, landing: Landed) -> Done:
    command = [*python_module("pipelines.run"), "--home", str(home.path), "--upload", landing.upload.id]
    run = partial(subprocess.run, command, capture_output=True, text=True, check=False)
    done = run()
    for tried in range(MOST_TRIES - 1):
        if done.returncode not in {ExitCode.SERVICE_FAILED, -9}:
            break
        time.sleep(FIRST_WAIT * 4**tried)
        done = run()
    if done.returncode != 0:
        return Done(landing, None, error_of_child(done.stderr, done.returncode, "The pipeline ended without a word."))
    return Done(landing, Outcome.model_validate_json(done.stdout.splitlines()[-1]), None)


def _refused(home: Home) -> set[str]:
    try:
        found: list[str] = json.loads(_file(home).read_bytes())
    except FileNotFoundError:
        return set()
    return set(found)


def _file(home: Home) -> Path:
    return home.folder("curation") / _REFUSED
