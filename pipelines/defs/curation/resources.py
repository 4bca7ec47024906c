"""What the assets of one curation run share: its source, its folder, and the lab it works for."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from datalab.curation.contract import Contract, load_contract

from catalog.client import LabClient, lab_client
from datalab.home import Home
from datalab.storage.store import ObjectStore, connect


class CurationRun(dg.ConfigurableResource):  # type: ignore[type-arg]  # its type parameter is for resources it wraps
    """One run over one upload. Its configuration goes into Dagster's records, so it holds no secret.

    Attributes:
        home: the lab's home folder.
        folder: where this run works; what follows from the data is removed when the run ends.
        upload: id of the raw file in the catalog.
        contract: file of the data contract.
    """

    home: str
    folder: str
    upload: str
    contract: str

    @property
    def work(self) -> Path:
        """The folder of the run."""
        return Path(self.folder)

    @property
    def raw(self) -> Path:
        """Where the raw file lies during the run."""
        return self.work / "raw"

    def load_contract(self) -> Contract:
        """Read the data contract."""
        return load_contract(Path(self.contract))

    def lab(self) -> LabClient:
        """Return a client of the lab, to be used as a context manager."""
        return lab_client(Home(Path(self.home)), "pipeline")

    def objects(self) -> ObjectStore:
        """Return the object store, where pipelines read ``landing/`` and write ``staging/``."""
        return connect(Home(Path(self.home)), "pipeline")
