"""A whole system of real processes that can be broken: object store, lab server, gateway, nodes behind proxies."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from catalog.client import lab_client
from catalog.records import DatasetDraft
from datalab.audit.verification import verify
from datalab.permits.claims import PermittedDataset
from datalab.permits.keys import PUBLIC_FILE
from datalab.service import free_ports, installed_services
from datalab.supervisor import Supervisor
from federation import client
from federation.errors import FolderLostError
from federation.run import ConfigValue, RunFolder, RunPlace
from tests.support.federation import ECHO, Federation
from tests.support.proxy import Proxy
from tests.support.waiting import events, wait_until

SERVICES = ("object-store", "lab", "gateway")
NODES = ("arnhem", "breda", "chaam")
DISK_MB = 192
"""Of each node; a real file system of its own, so that it can be filled."""


class System:
    """A context with a lab and three nodes; each process is started, and killed, on its own.

    Args:
        folder: for the homes of all.
    """

    def __init__(self, folder: Path) -> None:
        self._below = ExitStack()  # what has to be there until all processes have ended
        self._stack = ExitStack()
        self._stack.enter_context(self._below)
        self.closing = threading.Event()
        self._stack.callback(self.closing.set)
        self.supervisor = self._stack.enter_context(Supervisor())
        self.federation = Federation(folder, self.supervisor, start=False)
        self.lab = self.federation.lab
        self.proxies: dict[str, Proxy] = {}
        self._modules = {service.name: service.module for service in installed_services()}

    def __enter__(self) -> Self:
        try:
            self._start_all()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, service: str) -> None:
        """Start, or start again, a part of the lab; it has the same port each time."""
        self.federation.processes[service] = self.supervisor.start(service, self._modules[service], self.lab)

    def kill(self, process: str) -> None:
        """End a part of the lab, or a node, as a power cut does."""
        self.federation.processes[process].kill()
        self.supervisor.forget(self.federation.processes[process])

    def submit(self, run_id: str, config: dict[str, ConfigValue]) -> RunFolder:
        """Submit a run on all nodes."""
        return client.submit(
            self.lab,
            ECHO,
            run_id=run_id,
            places=[RunPlace(node=name, dataset=name) for name in NODES],
            permit=self.permit,
            purpose="e-ii",
            config=config,
        )

    def conduct(self, run: RunFolder, config: dict[str, ConfigValue]) -> Iterator[dict[str, Any]]:
        """Conduct a run to its end; where its folder is lost, as the scheduler does with runs from the queue.

        It goes on from what is in object storage, or from the beginning where nothing is there.
        """
        while True:
            try:
                yield from client.conduct(run, self.supervisor)
            except FolderLostError:
                if client.recover(self.lab, run.path.name) is None:
                    self.submit(run.path.name, config)
            else:
                return

    def audits(self) -> list[Path]:
        """Return the audit logs of gateway and nodes."""
        nodes = [self.federation.node_home(name).path / "audit.jsonl" for name in NODES]
        return [self.lab.path / "gateway" / "audit.jsonl", *nodes]

    def audit_verifies(self) -> bool:
        """Whether every audit chain is whole, the catalog's too."""
        with lab_client(self.lab, "operator") as operator:
            whole = operator.verify_events().broken_at is None
        return whole and all(verify(log).intact for log in self.audits())

    def executed_again(self, run_id: str) -> int:
        """Return how many tasks a node has carried out more than once, though their replies were recorded."""
        done: Counter[tuple[str, str]] = Counter()
        for log in self.audits()[1:]:
            for one in events(log):
                said: dict[str, Any] = one["details"]
                if one["event"] == "task done" and said["run"] == run_id and said["result"] == "replied":
                    done[str(log), said["task"]] += 1
        return sum(times - 1 for times in done.values())

    def _make_disk(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "none", folder], check=True)
        self._below.callback(lambda: subprocess.run(["umount", "--lazy", folder], check=True))

    def _start_all(self) -> None:
        names = ("object_store", "lab", "gateway", "enrolment")
        ports = dict(zip(names, free_ports("127.0.0.1", len(names)), strict=True))
        settings = "[ports]\n" + "".join(f"{name} = {port}\n" for name, port in ports.items())
        (self.lab.path / "datalab.toml").write_text(settings, encoding="utf-8")
        shutil.copyfile(self.federation.access_body / PUBLIC_FILE, self.lab.folder("permit-keys") / "access-body.jwk")
        for service in SERVICES:
            self.start(service)
        self.permit = self.federation.permit(datasets=tuple(PermittedDataset(id=name) for name in NODES))
        with lab_client(self.lab, "operator") as operator:
            for name in NODES:
                operator.register_dataset(_draft(name))
            operator.record_permit(self.permit)
            for name in NODES:
                self._make_disk(self.federation.node_home(name).path)
                proxy = self.proxies[name] = self._stack.enter_context(Proxy("127.0.0.1", ports["gateway"]))
                self.federation.add_node(name, dataset_id=name, through=proxy)
            self.federation.wait_for(*NODES)
            wait_until(lambda: all(operator.versions(name) for name in NODES), "every dataset was announced")


def _draft(name: str) -> DatasetDraft:
    return DatasetDraft(
        id=name,
        title=name,
        holder=name,
        holder_name=name,
        country="NL",
        steward="Steward",
        theme="HEAL",
        access="federated-only",
        data_class="personal",
        kept_at="site",
        node=name,
        contract_id="toy",
        contract_version="1.0.0",
        legal_basis="GDPR Art. 6(1)(e)",
        purposes=("e",),
    )
