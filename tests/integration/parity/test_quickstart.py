"""Small apps in the shape of Flower's own examples, each of which uses another part of its interface.

They run unmodified here and on Flower's own engine, and leave behind the same numbers. There are two nodes: of two
numbers the sum does not depend on which comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datalab.canonical import sha256_file
from datalab.supervisor import Supervisor
from federation.bundle import digest, pack, read_app, read_bundle, read_files
from tests.perf import flower
from tests.support.federation import ROOT, Federation

APPS = sorted(path.parent for path in (ROOT / "tests" / "apps" / "quickstart").glob("*/pyproject.toml"))
NODES = {
    name: {"partition-id": str(number), "num-partitions": "2", "kind": '"small"'}
    for number, name in enumerate(("hague", "ithaca"))
}
NEEDS = {"boosting": "xgboost", "deep": "torch"}
SETTINGS: dict[str, dict[str, Any]] = {
    "configured": {"rounds": 7, "rate": 1, "name": "second one", "fast": True, "model.depth": 5},
}
"""What the runs of some apps set: a whole number for a fraction, too."""


def node_config(name: str, between: str) -> str:
    """Return what a node says of itself, as its file or Flower's command takes it."""
    return between.join(f"{key}={value}" for key, value in NODES[name].items())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All apps as Flower's own bundles, by their names."""
    folder = tmp_path_factory.mktemp("bundles")
    flower.build(APPS, folder)
    return {path.name.split(".")[1]: path for path in folder.glob("*.fab")}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, bundles: dict[str, Path]) -> Iterator[Federation]:
    """Two nodes that allow all of the apps, as folders and as bundles."""
    with Supervisor() as supervisor:
        running = Federation(tmp_path_factory.mktemp("quickstart"), supervisor)
        for name in NODES:
            running.add_node(name, apps=[*APPS, *bundles.values()], node_config=node_config(name, "\n"))
        running.wait_for(*NODES)
        yield running


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Flower's own engine with two nodes."""
    nodes = [node_config(name, " ") for name in NODES]
    with flower.engine(nodes, tmp_path_factory.mktemp("flower")) as environment:
        yield environment


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("app", APPS, ids=lambda path: path.name)
def test_it_leaves_behind_the_same_numbers_as_on_flowers_own_engine(
    federation: Federation, engine: dict[str, str], tmp_path: Path, app: Path
) -> None:
    pytest.importorskip(NEEDS.get(app.name, "numpy"))
    settings = SETTINGS.get(app.name, {})
    ours = federation.run(list(NODES), app=app, config=settings, timeout=120).artifacts
    said = flower.run_on(engine, app, {"out": str(tmp_path), **settings})
    assert (tmp_path / "result.npz").exists(), said
    assert sorted(path.name for path in ours.iterdir()) == sorted(path.name for path in tmp_path.iterdir())
    with np.load(ours / "result.npz") as own, np.load(tmp_path / "result.npz") as flowers:
        assert own.files == flowers.files
        assert own.files
        for name in own.files:
            np.testing.assert_array_equal(own[name], flowers[name], strict=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["configured", "proximal"])
def test_it_is_the_same_from_flowers_own_bundle(federation: Federation, bundles: dict[str, Path], name: str) -> None:
    app = next(one for one in APPS if one.name == name)
    runs = [federation.run(list(NODES), app=one, timeout=120) for one in (app, bundles[name])]
    assert runs[1].read_spec().app_sha256 == sha256_file(bundles[name]), "the digest that Flower gives it"
    assert runs[0].read_spec().app_sha256 != runs[1].read_spec().app_sha256
    folder, bundle = (np.load(one.artifacts / "result.npz") for one in runs)
    assert all(np.array_equal(folder[one], bundle[one]) for one in folder.files)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("app", APPS, ids=lambda path: path.name)
def test_flowers_own_bundle_holds_what_the_folder_holds(bundles: dict[str, Path], app: Path) -> None:
    bundle = read_bundle(bundles[app.name])
    assert digest(bundle).startswith(bundles[app.name].name.split(".")[3]), "Flower names the file by its own digest"
    ((own, files), (_, folders)) = read_files(bundle), read_files(pack(app))
    assert own == read_app(app)
    assert files.keys() - folders.keys() == {".info/CONTENT"}
    assert {name: files[name] for name in folders if name != "pyproject.toml"} == {
        name: data for name, data in folders.items() if name != "pyproject.toml"
    }
