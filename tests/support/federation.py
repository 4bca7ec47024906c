"""A federation of real processes for tests and benchmarks: authority, gateway, nodes; the lab's catalog is left out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from datalab.home import Home
from datalab.permits.claims import PermitClaims, PermittedDataset, Purpose
from datalab.permits.keys import PUBLIC_FILE, generate_key, write_key_pair
from datalab.permits.permit import sign_permit
from datalab.supervisor import Supervisor
from federation import client
from federation.bundle import digest, read_bundle
from federation.enrolment.client import enrol
from federation.pki.identity import Role
from federation.pki.keys import Credentials
from federation.pki.local import create_federation, invite
from federation.run import ConfigValue, RunFolder, RunPlace
from federation.sandbox.limits import Limits
from tests.support.proxy import Proxy

ROOT = Path(__file__).parents[2]
ECHO = ROOT / "tests" / "apps" / "echo"
GATEWAY = "federation.gateway.server"
TOY_CONTRACT = Path(__file__).with_name("toy.odcs.yaml")
DATASET = "toy"


class Federation:
    """A gateway and its nodes below one folder.

    Args:
        folder: where all of them have their homes.
        supervisor: owns the processes.
        start: whether to start the gateway now.
        gateway: the module that is run as the gateway.
    """

    def __init__(self, folder: Path, supervisor: Supervisor, *, start: bool = True, gateway: str = GATEWAY) -> None:
        self.folder = folder
        self._gateway = gateway
        self.supervisor = supervisor
        self.lab = Home(folder / "lab")
        (self.lab.folder() / "datalab.toml").write_text(
            "[ports]\nobject_store = 0\ngateway = 0\nenrolment = 0\n", encoding="utf-8"
        )
        self.key = generate_key()
        self.access_body = Home(folder / "access-body").folder()
        write_key_pair(self.key, self.access_body)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        create_federation(self.lab)
        if start:
            self.start_gateway()

    def start_gateway(self) -> None:
        """Start, or start again, the gateway."""
        self.processes["gateway"] = self.supervisor.start(
            "gateway", self._gateway, self.lab, environment={"PYTHONPATH": str(ROOT)}
        )

    def node_home(self, name: str) -> Home:
        """Return a node's home."""
        return Home(self.folder / "nodes" / name)

    def add_node(
        self,
        name: str,
        *,
        apps: Sequence[Path] = (ECHO,),
        rows: int = 100,
        raw: str | None = None,
        policy: str = "",
        dataset: str = "",
        node_config: str = "",
        source: str = "export/toy.csv",
        contract: Path = TOY_CONTRACT,
        dataset_id: str = DATASET,
        through: Proxy | None = None,
        start: bool = True,
    ) -> Home:
        """Lay out a node with a toy dataset that allows ``apps``, and start it; ``wait_for`` says when it is connected.

        Args:
            name: of the node.
            apps: folders or bundles of the apps that it allows.
            rows: in its dataset.
            raw: text of its raw file, instead of ``rows`` good ones.
            policy: further lines under ``[policy]``.
            dataset: further lines under ``[[datasets]]``.
            node_config: lines under ``[node_config]``.
            source: of its dataset.
            contract: by which its raw file is curated.
            dataset_id: of its dataset.
            through: what it reaches the gateway through.
            start: whether it is started, too.
        """
        home = self.node_home(name)
        lines = [f"{number / 10},{number % 2}" for number in range(rows)]
        text = "x,event\n" + "\n".join(lines) + "\n" if raw is None else raw
        home.folder("export").joinpath("toy.csv").write_text(text, encoding="utf-8")
        shutil.copyfile(contract, home.path / "toy.odcs.yaml")
        shutil.copyfile(self.access_body / PUBLIC_FILE, home.path / "access-body.jwk")
        allowed = "\n".join(f'[[policy.apps]]\nsha256 = "{digest(read_bundle(app))}"\n' for app in apps)
        home.path.joinpath("node.toml").write_text(
            f'[policy]\npurposes = ["e-ii"]\npermit_keys = ["access-body.jwk"]\n{policy}\n{allowed}\n'
            f'[[datasets]]\nid = "{dataset_id}"\nsource = "{source}"\ncontract = "toy.odcs.yaml"\n{dataset}\n'
            f"[node_config]\n{node_config}\n",
            encoding="utf-8",
        )
        text = invite(self.lab, Role.NODE, name, organisation=name, country="NL")
        if through is None:
            token = home.path / "token"
            token.touch(mode=0o600)
            token.write_text(text, encoding="ascii")
        else:
            enrol(text, home.path / "identity")
            (home.path / "identity" / "gateway").write_text(f"127.0.0.1:{through.port}", encoding="ascii")
        if start:
            self.start_node(name)
        return home

    def add_peer(self, name: str) -> Credentials:
        """Enrol a node that has no agent, and return what it needs to speak for itself."""
        folder = self.folder / "peers" / name
        enrol(invite(self.lab, Role.NODE, name, organisation=name, country="NL"), folder)
        return Credentials.load(folder)

    def start_node(self, name: str) -> None:
        """Start, or start again, a node that has been laid out."""
        self.processes[name] = self.supervisor.start("node", "federation.node.agent", self.node_home(name), wait=False)

    def wait_for(self, *names: str) -> None:
        """Wait until nodes are connected."""
        for name in names:
            self.supervisor.wait_ready("node", self.node_home(name))

    def permit(self, **changes: Any) -> str:
        """Return a signed permit for the toy dataset; ``changes`` override its claims."""
        now = datetime.now(UTC)
        claims = PermitClaims(
            **{
                "id": "permit-1",
                "issuer": "Access body",
                "data_user": "Start-up",
                "people": ("Researcher",),
                "project": "Test",
                "purpose": Purpose.RESEARCH_ALGORITHMS,
                "datasets": (PermittedDataset(id=DATASET),),
                "not_before": now - timedelta(minutes=1),
                "expires": now + timedelta(hours=1),
                **changes,
            }
        )
        return sign_permit(claims, self.key)

    def run(
        self,
        nodes: Sequence[str],
        *,
        app: Path = ECHO,
        app_signature: str = "",
        config: dict[str, ConfigValue] | None = None,
        dataset: str = DATASET,
        permit: str | None = None,
        purpose: str = "e-ii",
        seed: int = 0,
        run_id: str | None = None,
        timeout: float = 20.0,
        grace: float = 30.0,
        limits: Limits | None = None,
        proxy: Proxy | None = None,
        record: bool = False,
        while_running: Callable[[subprocess.Popen[bytes], dict[str, Any]], None] | None = None,
    ) -> RunFolder:
        """Submit a run, watch it to its end and return its folder; raises as ``federation.client.watch``.

        Args:
            nodes: the nodes that take part.
            app: folder of the app.
            app_signature: over the app.
            config: run configuration.
            dataset: that the nodes hold.
            permit: the signed permit; a good one if it is left out.
            purpose: of the run.
            seed: of the run.
            run_id: of the run.
            timeout: seconds to wait for the nodes' decisions.
            grace: seconds to wait for who is away.
            limits: what the ServerApp may use.
            proxy: through which the runner reaches the gateway.
            record: whether the runner is told where the lab's catalog and storage are.
            while_running: called with the runner's process and each event.
        """
        folder = client.submit(
            self.lab,
            app,
            run_id=run_id,
            places=[RunPlace(node=name, dataset=dataset) for name in nodes],
            permit=permit or self.permit(datasets=(PermittedDataset(id=dataset),)),
            purpose=purpose,
            app_signature=app_signature,
            config=config,
            seed=seed,
            timeout=timeout,
            grace=grace,
            limits=limits,
            record=record,
        )
        if proxy is not None:
            identity = folder.path / "identity"
            enrol(folder.token.read_text(encoding="ascii"), identity)
            (identity / "gateway").write_text(f"127.0.0.1:{proxy.port}", encoding="ascii")
        with Supervisor() as supervisor:  # of its own, so that runs may go on side by side
            runner = client.start(folder, supervisor)
            for event in client.watch(folder, runner):
                if while_running is not None:
                    while_running(runner, event)
        return folder
