"""An app of Flower's older interface runs: its server talks to each node from a thread of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datalab.supervisor import Supervisor
from tests.support.federation import ROOT, Federation

APP = ROOT / "tests" / "apps" / "quickstart" / "older"
NODES = ("hague", "ithaca")


def test_it_trains_to_the_mean_of_both_nodes(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        federation = Federation(tmp_path, supervisor)
        for number, name in enumerate(NODES):
            federation.add_node(name, apps=(APP,), node_config=f"partition-id = {number}")
        federation.wait_for(*NODES)
        run = federation.run(NODES, app=APP, timeout=60)
    model = np.zeros(4)
    for rate in (0.5, 0.25):
        first, second = (model + rate * (goal - model) for goal in (1.0, 2.0))
        model = (10 * first + 11 * second) / 21
    with np.load(run.artifacts / "result.npz") as found:
        np.testing.assert_allclose(found["arr_0"], model, rtol=1e-12)
