"""One federation of real processes for the tests of this folder: a gateway and two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.supervisor import Supervisor
from tests.support.federation import ECHO, Federation

HOSTILE = Path(__file__).parents[2] / "apps" / "hostile"
NODES = ("amsterdam", "berlin")


@pytest.fixture(scope="package")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A gateway and two nodes that allow the echo and the hostile app."""
    with Supervisor() as supervisor:
        running = Federation(tmp_path_factory.mktemp("federation"), supervisor)
        for name in NODES:
            running.add_node(name, apps=(ECHO, HOSTILE))
        running.wait_for(*NODES)
        yield running


@pytest.fixture
def alone(tmp_path: Path, supervisor: Supervisor, request: pytest.FixtureRequest) -> Federation:
    """A federation with one node; its certificates last a week, or as many hours as the test says."""
    federation = Federation(tmp_path, supervisor, start=False)
    toml = federation.lab.path / "datalab.toml"
    toml.write_text(toml.read_text() + f"[certificates]\nhours = {getattr(request, 'param', 168)}\n", encoding="utf-8")
    federation.start_gateway()
    federation.add_node("oslo")
    federation.wait_for("oslo")
    return federation
