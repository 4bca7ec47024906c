"""The contracts of known sources: those that come with Datalab, and those that a lab adds in its home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datalab.errors import NotFoundError

if TYPE_CHECKING:
    from catalog.records import Dataset
    from datalab.home import Home

SUFFIX = ".odcs.yaml"
BUILT_IN = Path(__file__).parent / "contracts"


def find_contract(home: Home, dataset: Dataset) -> Path:
    """Return the file of the contract that a dataset is registered with; adding one is adding a file.

    Raises:
        NotFoundError: no contract has that id and version.
        BadInputError: a contract of the lab's own is not valid.
    """
    from datalab.curation.contract import load_contract

    own = home.folder("contracts")
    for path in (*sorted(own.glob(f"*{SUFFIX}")), *sorted(BUILT_IN.glob(f"*{SUFFIX}"))):
        contract = load_contract(path)
        if (contract.id, contract.version) == (dataset.contract_id, dataset.contract_version):
            return path
    raise NotFoundError(
        f"There is no contract {dataset.contract_id} in version {dataset.contract_version}.",
        where=f"dataset {dataset.id}",
        next_step=f"Put it into {own} as a file that ends in {SUFFIX}.",
    )
