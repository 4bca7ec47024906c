"""Small apps in the shape of Flower's own examples, each of which uses another part of its interface.

They run unmodified here and on Flower's own engine, and leave behind the same numbers. All clients hold the same data:
neither node ids nor the order of replies make a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datalab.supervisor import Supervisor
from tests.perf import flower
from tests.support.federation import ROOT, Federation

APPS = sorted(path.parent for path in (ROOT / "tests" / "apps" / "quickstart").glob("*/pyproject.toml"))
NODES = ("hague", "ithaca")


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Two nodes that allow all of the apps."""
    with Supervisor() as supervisor:
        running = Federation(tmp_path_factory.mktemp("quickstart"), supervisor)
        for name in NODES:
            running.add_node(name, apps=APPS)
        running.wait_for(*NODES)
        yield running


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("app", APPS, ids=lambda path: path.name)
def test_it_leaves_behind_the_same_numbers_as_on_flowers_own_engine(
    federation: Federation, tmp_path: Path, app: Path
) -> None:
    if app.name == "boosting":
        pytest.importorskip("xgboost")
    ours = federation.run(NODES, app=app).artifacts / "result.npz"
    flower.run(app, {"out": str(tmp_path)}, [""] * len(NODES), tmp_path)
    with np.load(ours) as own, np.load(tmp_path / "result.npz") as flowers:
        assert own.files == flowers.files
        assert own.files
        for name in own.files:
            np.testing.assert_array_equal(own[name], flowers[name], strict=True)
