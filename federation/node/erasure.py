"""Removing a person from what a node has curated, on its holder's order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datalab.audit.log import AuditLog
from datalab.curation.contract import load_contract
from datalab.curation.naming import names
from datalab.curation.report import CurationReport
from datalab.home import Home
from federation.node.config import NodeConfig, load_config
from federation.node.holdings import dataset_folder, hold_datasets
from federation.node.optout import leave_out, pseudonyms_of
from federation.node.s3 import FOLDER

_READ = 1 << 20


@dataclass(frozen=True)
class Erased:
    """What came of it.

    Attributes:
        cleared: datasets, with their versions, that the person was in.
        unknown: datasets whose contract names no pseudonym.
        sources: raw files on this machine that still name the person.
        copies: fetched copies of raw files that named the person, and were removed.
    """

    cleared: tuple[str, ...]
    unknown: tuple[str, ...]
    sources: tuple[Path, ...]
    copies: tuple[Path, ...]


def erase(home: Home, pseudonym: str, *, reason: str) -> Erased:
    """Leave a person out from now on, and take them out of every curated table; it can be repeated.

    Raises:
        DatalabError: a dataset could not be written anew; the person is left out all the same, and it is tried again
            before the next run.
    """
    config = load_config(home.path)
    new = leave_out(home, pseudonym)
    AuditLog(home.path / "audit.jsonl").append("erasure ordered", reason=reason, again=not new, uid=os.getuid())
    for entry in config.datasets:
        if entry.contract is not None:
            for one in pseudonyms_of(home, load_contract(home.path / entry.contract), [pseudonym]):
                leave_out(home, one)
    before = _reports(home, config)
    hold_datasets(home, config)
    after = _reports(home, config)
    return Erased(
        cleared=tuple(one for one in before if before[one].parquet_sha256 != after[one].parquet_sha256),
        unknown=tuple(one for one, report in after.items() if report.pseudonym is None),
        sources=tuple(_sources(home, config, pseudonym)),
        copies=tuple(_remove_copies(home, pseudonym)),
    )


def _reports(home: Home, config: NodeConfig) -> dict[str, CurationReport]:
    found = {}
    for entry in config.datasets:
        path = dataset_folder(home, entry) / "report.json"
        if path.exists():
            found[f"{entry.id} version {entry.version}"] = CurationReport.model_validate_json(path.read_bytes())
    return found


def _sources(home: Home, config: NodeConfig, pseudonym: str) -> Iterator[Path]:
    """Yield the raw files here that name a person."""
    for entry in config.datasets:
        path = home.path / entry.source
        if entry.in_lab or entry.in_s3 or not path.is_file():
            continue
        contract = None if entry.contract is None else load_contract(home.path / entry.contract)
        if names(lambda path=path: _pieces(path), pseudonym, contract):  # type: ignore[misc]  # bound while it is this one
            yield path


def _remove_copies(home: Home, pseudonym: str) -> Iterator[Path]:
    """Remove fetched copies of raw files in the holder's object store that name a person."""
    for path in sorted((home.path / FOLDER).glob("*/*")):
        if names(lambda path=path: _pieces(path), pseudonym, None):  # type: ignore[misc]  # bound while it is this one
            path.unlink()
            yield path


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ):
            yield piece
