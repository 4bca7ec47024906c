"""Gets a node's datasets ready before it connects: curated on site by contract, or read from the lab's storage.

The work is done by a process of its own (``federation.node.prepare``), so that the agent stays light.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from datalab.errors import error_of_child
from datalab.home import Home
from datalab.service import python_module
from federation.node.config import NodeConfig, SiteDataset
from federation.node.policy import HeldDataset


def hold_datasets(home: Home, config: NodeConfig) -> list[HeldDataset]:
    """Return the node's datasets, each ready for training.

    Raises:
        DatalabError: a source or contract is missing or broken; the message says which and where.
    """
    return [_hold(home, entry) for entry in config.datasets]


def dataset_folder(home: Home, entry: SiteDataset) -> Path:
    """Return where a dataset's curated version lies: ``data.parquet``, ``report.json`` and, if raw, ``rejects.csv``."""
    return home.path / "curated" / entry.id / f"v{entry.version}"


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
    summary = json.loads(done.stdout)
    return HeldDataset(entry=entry, rows=summary["rows"], report_json=summary["public"], folder=str(folder))
