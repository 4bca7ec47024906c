"""What the assets of one curation run share: its source, its folder, and the lab it works for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import dagster as dg
from pydantic import BaseModel

from catalog.client import LabClient, lab_client
from catalog.erasure.marks import opt_outs
from datalab.canonical import sha256_file
from datalab.curation.contract import Contract, load_contract
from datalab.curation.optout import OptOuts
from datalab.home import Home
from datalab.storage.store import ObjectStore, connect

_Result = TypeVar("_Result", bound=BaseModel)


@lru_cache(maxsize=1)
def _load_contract(path: Path, digest: str) -> Contract:
    del digest  # a file that has changed is another key
    return load_contract(path)


class CurationRun(dg.ConfigurableResource):  # type: ignore[type-arg]  # its parameter is for resources that wrap another
    """One run over one upload. Its configuration goes into Dagster's records, so it holds no secret.

    Attributes:
        home: the lab's home folder.
        folder: where the run leaves its rejects and its report; ``work`` below it is removed when the run ends.
        upload: id of the raw file in the catalog.
        contract: file of the data contract.
        intent: under which the version is published: the run's own name, or of the killed run that it takes up.
    """

    home: str
    folder: str
    upload: str
    contract: str
    intent: str

    @property
    def out(self) -> Path:
        """What stays of the run: where the faults lie and the counts, never a value."""
        return Path(self.folder)

    @property
    def work(self) -> Path:
        """What passes between the assets, as Parquet and JSON files."""
        return self.out / "work"

    @property
    def raw(self) -> Path:
        """The raw file, under the name that its holder gave it."""
        (path,) = (self.work / "raw").iterdir()
        return path

    def load_contract(self) -> Contract:
        """Return the data contract, read once for all assets of the run."""
        path = Path(self.contract)
        return _load_contract(path, sha256_file(path))

    def save(self, result: BaseModel) -> None:
        """Keep what a stage returned for the assets that follow."""
        (self.work / f"{type(result).__name__}.json").write_text(result.model_dump_json(), encoding="utf-8")

    def load(self, kind: type[_Result]) -> _Result:
        """Return what an earlier stage returned."""
        return kind.model_validate_json((self.work / f"{kind.__name__}.json").read_bytes())

    def lab(self) -> LabClient:
        """Return a client of the lab, to be used as a context manager."""
        return lab_client(Home(Path(self.home)), "pipeline")

    def opt_outs(self, holder: str) -> OptOuts:
        """Return whom the lab leaves out of a holder's data."""
        with self.lab() as lab:
            return opt_outs(Home(Path(self.home)), lab.opt_outs(holder))

    def objects(self) -> ObjectStore:
        """Return the object store, where pipelines read ``landing/`` and write ``staging/``."""
        return connect(Home(Path(self.home)), "pipeline")
