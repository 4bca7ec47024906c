"""The demo, step by step: what operator, stewards, hospital IT, access body and researcher each do."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from catalog.client import LabClient, lab_client
from catalog.records import AccountDraft, Role, Version
from catalog.run_records import RunRecord
from datalab.curation.report import PreparationReport
from datalab.errors import error_of_child
from datalab.home import Home
from datalab.permits.claims import PermitClaims, PermittedDataset, Purpose
from datalab.permits.keys import PUBLIC_FILE, generate_key, write_key_pair
from datalab.permits.permit import sign_permit
from datalab.service import free_ports, python_module
from datalab.supervisor import Supervisor
from datalab.up import start_lab
from demo.describe import describe
from demo.probe import Transport, probe
from demo.sources import lay_out
from demo.studies import APP, Site, Study
from federation import client as federation
from federation.bundle import digest, pack
from federation.pki.identity import Role as MemberRole
from federation.pki.local import create_federation, invite
from federation.run import RunFolder, RunPlace

COMPUTE = "gigafactory-compute"
"""The lab's own compute node, which trains on what the lab holds."""
PURPOSE = Purpose.RESEARCH_ALGORITHMS


@dataclass
class Demo:
    """What the steps make, one after the other.

    Attributes:
        study: the question and its sites.
        folder: everything is below it: ``lab``, ``sites/<name>``, ``compute``, ``access-body``,
            ``researcher``.
        say: writes a line for people.
        steps: seconds by step, in order.
    """

    study: Study
    folder: Path
    supervisor: Supervisor
    say: Callable[[str], None]
    steps: dict[str, float] = field(default_factory=dict)
    raw: dict[str, Path] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)
    costs: dict[str, PreparationReport] = field(default_factory=dict)
    permit: str = ""

    @property
    def lab(self) -> Home:
        """The lab's home."""
        return Home(self.folder / "lab")

    def site_home(self, site: Site) -> Home:
        """A data holder's own folder."""
        return Home(self.folder / "sites" / site.name)

    @property
    def compute(self) -> Home:
        """The compute node's home."""
        return Home(self.folder / "compute")

    @property
    def researcher(self) -> Path:
        """The researcher's folder: the permit, and the run's configuration."""
        return Home(self.folder / "researcher").folder()

    def node_of(self, site: Site) -> str:
        """Return the name of the node that trains on a site's data."""
        return COMPUTE if site.shares else site.name

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step and say when it is done."""
        started = time.perf_counter()
        yield
        self.steps[name] = time.perf_counter() - started
        self.say(f"[green]✓[/] {name} [dim]({self.steps[name]:.1f} s)[/]")

    # What the data holders and the access body do before there is a lab.

    def lay_out(self, data: Path | None) -> None:
        """Write each holder's raw export into its own folder, with its contract."""
        for site in self.study.sites:
            home = self.site_home(site)
            self.raw[site.name] = lay_out(site, home.folder("export"), data)
            shutil.copyfile(site.contract_path, home.folder("contracts") / site.contract)

    def make_keys(self) -> None:
        """Make the access body's key; lab and nodes get its public half only."""
        body = Home(self.folder / "access-body").folder()
        write_key_pair(generate_key(), body)
        pins = [self.lab.folder("permit-keys"), self.compute.folder("keys")]
        pins += [self.site_home(site).folder("keys") for site in self.study.sites if not site.shares]
        for pin in pins:
            shutil.copyfile(body / PUBLIC_FILE, pin / "access-body.jwk")

    # The lab operator.

    def start_lab(self) -> None:
        """Make the federation's authority and start object store, lab server and gateway."""
        names = ("object_store", "lab", "gateway", "enrolment")
        # Free ports, written down: `datalab up` on what is kept finds its nodes again.
        ports = zip(names, free_ports("127.0.0.1", len(names)), strict=True)
        settings = "[ports]\n" + "".join(f"{name} = {port}\n" for name, port in ports)
        (self.lab.folder() / "datalab.toml").write_text(settings, encoding="utf-8")
        create_federation(self.lab)
        start_lab(self.supervisor, self.lab)

    def account(self, name: str, role: Role, organisation: str) -> LabClient:
        """Return a client with a new account of its own."""
        with lab_client(self.lab, "operator") as operator:
            issued = operator.create_account(AccountDraft(name=name, role=role, organisation=organisation))
        return LabClient(self.lab.address("lab")["url"], issued.token)

    # The stewards.

    def register(self) -> None:
        """Register every dataset in the catalog, each by its holder's steward."""
        for site in self.study.sites:
            with self.account(f"steward-{site.name}", Role.STEWARD, site.name) as steward:
                steward.register_dataset(describe(site, self.study))

    def share(self, site: Site) -> PreparationReport:
        """De-identify a file at its holder and upload what is left; return what that cost."""
        home = self.site_home(site)
        prepared = home.folder("prepared") / f"{site.name}.csv"
        contract = home.path / "contracts" / site.contract
        report = home.folder("prepared") / "report.json"
        _run("datalab", "dataset", "prepare", contract, self.raw[site.name], "--out", prepared, "--report", report)
        with self.account(f"uploader-{site.name}", Role.STEWARD, site.name) as steward:
            self.uploads[site.name] = steward.upload(site.dataset, prepared).id
        self.costs[site.name] = PreparationReport.model_validate_json(report.read_bytes())
        return self.costs[site.name]

    def curate(self, site: Site) -> dict[str, Any]:
        """Run the lab's Dagster pipeline over an upload; it publishes version 1."""
        line = _run("pipelines.run", "--home", self.lab.path, "--upload", self.uploads[site.name])
        outcome: dict[str, Any] = json.loads(line.splitlines()[-1])
        return outcome

    def refused_download(self, site: Site) -> str:
        """Try to download personal data from the catalog, as a researcher; return how that was refused."""
        from catalog.errors import NotPermittedError

        with self.account("curious-researcher", Role.RESEARCHER, "start-up") as researcher:
            try:
                researcher.download_url(site.dataset, 1)
            except NotPermittedError as error:
                return error.what
        raise AssertionError("the catalog gave out personal data")

    # Hospital IT.

    def start_nodes(self) -> None:
        """Invite each data holder that keeps its data; its node enrols, curates on site and connects outwards."""
        for site in self.study.sites:
            if not site.shares:
                entry = f'[[datasets]]\nid = "{site.dataset}"\nsource = "export/{site.raw}"\n'
                entry += f'contract = "contracts/{site.contract}"\n'
                self._start_node(site.name, self.site_home(site), site.holder, site.country, entry)
        for site in self.study.sites:
            if not site.shares:
                self.supervisor.wait_ready("node", self.site_home(site))

    def start_compute(self) -> None:
        """Start the lab's compute node on what has been published."""
        entries = [f'[[datasets]]\nid = "{site.dataset}"\nsource = "lab"\n' for site in self.study.sites if site.shares]
        head = f"lab_home = {json.dumps(str(self.lab.path))}\n\n"
        self._start_node(COMPUTE, self.compute, "Gigafactory", "EU", "\n".join(entries), head)
        self.supervisor.wait_ready("node", self.compute)

    def _start_node(
        self, name: str, home: Home, organisation: str, country: str, datasets: str, head: str = ""
    ) -> None:
        token = home.folder() / "token"
        token.touch(mode=0o600)
        token.write_text(
            invite(self.lab, MemberRole.NODE, name, organisation=organisation, country=country), encoding="ascii"
        )
        policy = (
            f'[policy]\npurposes = ["{PURPOSE}"]\npermit_keys = ["keys/access-body.jwk"]\n\n'
            f'[[policy.apps]]\nsha256 = "{app_digest()}"\n\n'
        )
        (home.path / "node.toml").write_text(f"{head}{policy}{datasets}", encoding="utf-8")
        self.supervisor.start("node", "federation.node.agent", home, wait=False)

    # The access body.

    def issue_permit(self) -> None:
        """Sign the data permit for this study, away from the lab, and put it on the lab's record."""
        from datalab.permits.keys import PRIVATE_FILE, load_private_key

        now = datetime.now(UTC)
        claims = PermitClaims(
            id=f"permit-{self.study.name}-1",
            issuer="Health data access body",
            data_user="start-up",
            people=("rosa",),
            project=self.study.title,
            purpose=PURPOSE,
            datasets=tuple(PermittedDataset(id=site.dataset, version=1) for site in self.study.sites),
            apps=(app_digest(),),
            conditions=("Only aggregated model parameters and metrics leave a site.",),
            not_before=now - timedelta(minutes=5),
            expires=now + timedelta(days=30),
        )
        key = load_private_key(self.folder / "access-body" / PRIVATE_FILE)
        self.permit = sign_permit(claims, key)
        (self.researcher / "permit.jws").write_text(self.permit, encoding="ascii")
        with lab_client(self.lab, "operator") as operator:  # the body itself would, with a second factor
            operator.record_permit(self.permit)

    # The researcher.

    def run(self, *, rounds: int, seed: int, on_round: Callable[[dict[str, Any]], None]) -> RunFolder:
        """Launch the federated run and watch it, round by round, until it ends."""
        config = self.study.config(rounds=rounds, seed=seed)
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())
        (self.researcher / "config.toml").write_text(settings, encoding="utf-8")
        folder = federation.submit(
            self.lab,
            APP,
            run_id=f"demo-{self.study.name}",
            places=[RunPlace(node=self.node_of(site), dataset=site.dataset) for site in self.study.sites],
            permit=self.permit,
            purpose=PURPOSE,
            config=config,
            seed=seed,
        )
        for event in federation.watch(folder, federation.start(folder, self.supervisor)):
            if event["event"] == "round":
                on_round(event)
        self.supervisor.stop("runner")
        return folder

    # What anybody may look up afterwards.

    def versions(self) -> dict[str, Version]:
        """Return each dataset's version 1 as the catalog has it."""
        with lab_client(self.lab, "operator") as lab:
            return {site.name: lab.version(site.dataset, 1) for site in self.study.sites}

    def record(self) -> RunRecord:
        """Return the run as the catalog has it."""
        with lab_client(self.lab, "operator") as lab:
            return lab.run(f"demo-{self.study.name}")

    def tables(self) -> dict[str, Path]:
        """Return where each site's curated table lies."""
        return {
            site.name: (self.compute if site.shares else self.site_home(site)).path
            / "curated"
            / site.dataset
            / "v1"
            / "data.parquet"
            for site in self.study.sites
        }

    def transport(self) -> Transport:
        """Look at the gateway's listener as a stranger without a certificate would."""
        gateway = self.lab.address("gateway")
        return probe(gateway["host"], gateway["port"])


def app_digest() -> str:
    """Return the digest of the study's app."""
    return digest(pack(APP))


def _run(module: str, *arguments: str | Path) -> str:
    """Run one of the product's own commands to its end, and return what it printed."""
    command = [*python_module(module), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, process_group=0)
    if done.returncode != 0:
        output = done.stderr.replace("datalab: ", "error: ", 1)
        raise error_of_child(output, done.returncode, f"`{module} {arguments[0]}` failed.")
    return done.stdout
