"""The contracts of known sources: those that come with Datalab, and those that a lab adds in its home."""

from __future__ import annotations

from pathlib import Path

import yaml

from catalog.records import Dataset
from datalab.curation.contract import load_contract
from datalab.errors import NotFoundError
from datalab.home import Home

SUFFIX = ".odcs.yaml"
BUILT_IN = Path(__file__).parent / "contracts"


def find_contract(home: Home, dataset: Dataset) -> Path:
    """Return the file of the contract that a dataset is registered with; adding one is adding a file.

    The lab's own contracts, in ``contracts`` in its home, come before those of the package.

    Raises:
        NotFoundError: no contract has that id and version.
        BadInputError: a file that had to be looked at is not valid YAML.
    """
    own = home.folder("contracts")
    for path in (*sorted(own.glob(f"*{SUFFIX}")), *sorted(BUILT_IN.glob(f"*{SUFFIX}"))):
        if _identity(path) == (dataset.contract_id, dataset.contract_version):
            return path
    raise NotFoundError(
        f"There is no contract {dataset.contract_id} in version {dataset.contract_version}.",
        where=f"dataset {dataset.id}",
        next_step=f"Put it into {own} as a file that ends in {SUFFIX}.",
    )


def _identity(path: Path) -> tuple[str, str]:
    """Return what a contract calls itself, without checking the rest of it."""
    try:
        data = yaml.safe_load(path.read_bytes())
        return str(data["id"]), str(data["version"])
    except (yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError):
        contract = load_contract(path)  # says what is wrong, and where
        return contract.id, contract.version
