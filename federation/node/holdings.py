"""Gets a node's datasets ready before it connects: curated on site by contract, or read from the lab's storage.

The work is done by a process of its own (``federation.node.prepare``), so that the agent stays light.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from datalab.audit.log import AuditLog
from datalab.errors import error_of_child
from datalab.home import Home, write_atomically
from datalab.service import python_module
from federation.node.config import NodeConfig, SiteDataset
from federation.node.optout import read_opt_outs, state
from federation.node.policy import HeldDataset
from federation.node.published import published_file

_SUMMARY = "held.json"


def hold_datasets(home: Home, config: NodeConfig) -> list[HeldDataset]:
    """Return the node's datasets, each ready for training.

    Raises:
        DatalabError: a source or contract is missing or broken; the message says which and where.
    """
    return [_hold(home, entry) for entry in config.datasets]


def leave_out_again(home: Home, config: NodeConfig, held: list[HeldDataset]) -> bool:
    """Have the lists of whom to leave out hold for what is ready already; return whether something is to be announced.

    At a compute node of the lab, what the lab has erased people from is fetched anew.

    Args:
        home: the node's home.
        config: its ``node.toml``.
        held: its datasets, brought up to date in place.

    Raises:
        DatalabError: a list cannot be read, or the lab not asked, so nobody knows whom to leave out.
    """
    people, changed = state(read_opt_outs(home, config)), False
    for at, one in enumerate(held):
        now = published_file(home, config, one.entry)["sha256"] if one.entry.in_lab else people
        if one.left_out != now:
            held[at] = _hold(home, one.entry)
            changed = changed or held[at].report_json != one.report_json
    return changed


def read_holdings(home: Home, config: NodeConfig) -> list[HeldDataset]:
    """Return those of the node's datasets that have been made ready before, as they were then."""
    folders = ((entry, dataset_folder(home, entry)) for entry in config.datasets)
    return [
        _held(entry, folder, json.loads((folder / _SUMMARY).read_bytes()))
        for entry, folder in folders
        if (folder / _SUMMARY).exists()
    ]


def dataset_folder(home: Home, entry: SiteDataset) -> Path:
    """Return where a dataset's curated version lies.

    In it are ``data.parquet``, ``held.json`` and, if it was curated here, ``report.json`` and ``rejects.csv``.
    """
    return home.path / "curated" / entry.id / f"v{entry.version}"


def keep_summary(folder: Path, summary: str) -> None:
    """Write down what a dataset's preparation has printed, for ``read_holdings``."""
    write_atomically(folder / _SUMMARY, summary.encode())


def _hold(home: Home, entry: SiteDataset) -> HeldDataset:
    folder = dataset_folder(home, entry)
    before = _digest(folder)
    command = [
        *python_module("federation.node.prepare"),
        "--home",
        str(home.path),
        "--dataset",
        entry.id,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise error_of_child(done.stderr, done.returncode, f"The dataset {entry.id} could not be prepared.")
    keep_summary(folder, done.stdout)
    if before not in ("", after := _digest(folder)):
        AuditLog(home.path / "audit.jsonl").append(
            "people left out", dataset=entry.id, version=entry.version, before=before, after=after
        )
    return _held(entry, folder, json.loads(done.stdout))


def _held(entry: SiteDataset, folder: Path, summary: dict[str, Any]) -> HeldDataset:
    return HeldDataset(
        entry=entry,
        rows=summary["rows"],
        report_json=summary["public"],
        folder=str(folder),
        left_out=summary.get("left_out", ""),
    )


def _digest(folder: Path) -> str:
    """Return the digest of a curated table by the summary that was kept of it; empty where there is none."""
    path = folder / _SUMMARY
    public = json.loads(path.read_bytes())["public"] if path.exists() else ""
    return str(json.loads(public)["parquet_sha256"]) if public else ""
