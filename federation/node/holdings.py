"""Gets a node's datasets ready before it connects: curated on site by contract, or read from the lab's storage.

The work is done by a process of its own (``federation.node.prepare``), so that the agent stays light.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from datalab.errors import error_of_child
from datalab.home import Home, write_atomically
from datalab.service import python_module
from federation.node.config import NodeConfig, SiteDataset
from federation.node.policy import HeldDataset

_SUMMARY = "held.json"


def hold_datasets(home: Home, config: NodeConfig) -> list[HeldDataset]:
    """Return the node's datasets, each ready for training.

    Raises:
        DatalabError: a source or contract is missing or broken; the message says which and where.
    """
    return [_hold(home, entry) for entry in config.datasets]


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
    return _held(entry, folder, json.loads(done.stdout))


def _held(entry: SiteDataset, folder: Path, summary: dict[str, Any]) -> HeldDataset:
    return HeldDataset(entry=entry, rows=summary["rows"], report_json=summary["public"], folder=str(folder))
