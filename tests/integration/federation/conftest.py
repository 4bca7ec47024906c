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
