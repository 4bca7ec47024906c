"""A whole lab of real processes: object store, lab server, gateway, scheduler, and one node with the toy dataset."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.client import LabClient, lab_client
from catalog.records import AccountDraft, Role
from catalog.run_records import Launch, LaunchPlace
from catalog.service import SERVICE as LAB
from datalab.home import Home
from datalab.permits.keys import PUBLIC_FILE
from datalab.service import Service
from datalab.supervisor import Supervisor
from federation.bundle import pack
from federation.scheduler.service import SERVICE as SCHEDULER
from federation.service import SERVICE as GATEWAY
from tests.support.federation import DATASET, ECHO, Federation
from tests.support.waiting import wait_until
from tests.unit.catalog.examples import draft

NODE = "amsterdam"
PERMIT = "permit-1"


@dataclass
class Lab:
    """The lab, a researcher in it with her token, and the digest of the echo app that was uploaded."""

    federation: Federation
    rosa: LabClient
    token: str
    app: str

    @property
    def home(self) -> Home:
        return self.federation.lab

    def launch(self, **changes: object) -> Launch:
        """A run of the echo app on the toy dataset."""
        asked = {"app": self.app, "places": (LaunchPlace(dataset=DATASET),), "permit": PERMIT, "rounds": 2, **changes}
        return Launch.model_validate(asked)


def whole_lab(lab_home: Home, folder: Path, supervisor: Supervisor, *, server: Service = LAB) -> Federation:
    """Start everything but the node; the dataset is registered, so that the node can announce it."""
    federation = Federation(folder, supervisor, start=False)
    home = federation.lab
    (home.path / "datalab.toml").write_text("[ports]\nlab = 0\ngateway = 0\nenrolment = 0\n", encoding="utf-8")
    for secret in (lab_home.path / "secrets").glob("s3-*"):
        shutil.copyfile(secret, home.folder("secrets") / secret.name)
    at = lab_home.address("object-store")
    home.announce("object-store", endpoint=at["endpoint"], bucket=at["bucket"])
    shutil.copyfile(federation.access_body / PUBLIC_FILE, home.folder("permit-keys") / "body.jwk")
    start_services(federation, server)
    terms = {"kept_at": "site", "node": NODE, "access": "federated-only", "contract_id": "toy"}
    with lab_client(home, "operator") as operator:
        operator.register_dataset(draft(id=DATASET, title="Toy registry", **terms))
        operator.record_permit(federation.permit(id=PERMIT, data_user="start-up", people=("rosa",)))
    federation.add_node(NODE)
    federation.wait_for(NODE)
    return federation


def start_services(federation: Federation, server: Service = LAB) -> None:
    """Start lab server, gateway and scheduler."""
    for one in (server, GATEWAY, SCHEDULER):
        federation.processes[one.name] = federation.supervisor.start(one.name, one.module, federation.lab)


@contextmanager
def lab_with_rosa(lab_home: Home, folder: Path) -> Iterator[Lab]:
    """The whole lab, and a researcher in it."""
    with Supervisor() as supervisor:
        federation = whole_lab(lab_home, folder, supervisor)
        with lab_client(federation.lab, "operator") as operator:
            issued = operator.create_account(AccountDraft(name="rosa", role=Role.RESEARCHER, organisation="start-up"))
        with LabClient(federation.lab.address("lab")["url"], issued.token) as rosa:
            wait_until(lambda: bool(rosa.versions(DATASET)), "the node has announced its dataset")
            yield Lab(federation, rosa, issued.token, rosa.upload_app(pack(ECHO)).sha256)


@pytest.fixture(scope="package")
def lab(lab_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The whole lab."""
    with lab_with_rosa(lab_home, tmp_path_factory.mktemp("whole")) as lab:
        yield lab
