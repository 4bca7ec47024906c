"""A gateway and one node with narrow limits, which the hostile app tries to break."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from datalab.supervisor import Supervisor
from tests.integration.federation.conftest import HOSTILE
from tests.support.federation import ECHO, Federation

NODE = "utrecht"
MEMORY = 512 << 20
PROCESSES = 32
DISK = 64 << 20
LIMITS = f"""
[resources]
memory_bytes = {MEMORY}
processes = {PROCESSES}
cpu_seconds = 8
disk_bytes = {DISK}
"""


@pytest.fixture(scope="package")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A gateway and a node that allows the echo and the hostile app."""
    with Supervisor() as supervisor:
        running = Federation(tmp_path_factory.mktemp("sandbox"), supervisor)
        running.add_node(NODE, apps=(ECHO, HOSTILE), policy=LIMITS)
        running.wait_for(NODE)
        yield running


@pytest.fixture
def unharmed(federation: Federation) -> Iterator[None]:
    """After the test: gateway and node live on, nothing is left over, and an honest run works."""
    yield
    federation.supervisor.check()
    left = psutil.Process(federation.processes[NODE].pid).children(recursive=True)
    assert psutil.wait_procs(left, timeout=10)[1] == []
    assert federation.run([NODE], config={"num-server-rounds": 1}).read_card()["outcome"] == "completed"
