"""However an app fails, no value of the data gets to the lab: into no log, and into no run's record."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.supervisor import Supervisor
from federation.bundle import digest, pack
from federation.errors import RunFailedError
from federation.node.approvals import Candidate, approve
from federation.run import RunFolder
from tests.support.federation import ECHO, Federation

LEAKY = Path(__file__).parents[2] / "apps" / "leaky"
NODE = "haarlem"
ROW = 4.271828182
"""A value that one row has, and no other."""
FORMS = (str(ROW).encode(), struct.pack("<d", ROW), struct.pack(">d", ROW), struct.pack("<f", ROW))
TRACED = ("exception", "named exception", "our own error", "path")
REFUSED = ("metric name", "setting", "stray array", "not finite", "shape")
DEADLY = ("leave", "print", "forged error")
"""After these, the worker is gone."""


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A gateway, and a node with one row that stands out."""
    with Supervisor() as supervisor:
        federation = Federation(tmp_path_factory.mktemp("leaking"), supervisor)
        rows = [f"{number / 10},{number % 2}" for number in range(100)]
        raw = "\n".join(["x,event", *rows, f"{ROW},1"]) + "\n"
        federation.add_node(NODE, apps=(LEAKY,), raw=raw)
        federation.wait_for(NODE)
        yield federation


def where(folder: Path) -> list[str]:
    """Return the files below ``folder`` in which the row's value can be found, in whatever form."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path.relative_to(folder)) for path in files if any(form in path.read_bytes() for form in FORMS)]


@pytest.mark.parametrize("ways", [TRACED, REFUSED, *((way,) for way in DEADLY)], ids=", ".join)
def test_what_an_app_fails_with_stays_at_the_node(leaking: Federation, ways: tuple[str, ...]) -> None:
    name = ways[0].replace(" ", "-")
    with pytest.raises(RunFailedError, match="Every node answered with an error"):
        leaking.run([NODE], app=LEAKY, config={"ways": ",".join(ways)}, run_id=name)
    run = RunFolder(leaking.lab.path / "runs" / name)
    said = json.loads((run.artifacts / "said.json").read_text(encoding="utf-8"))
    assert said.keys() == set(ways)
    assert all("answered with an error" in one for one in said.values())
    assert where(leaking.lab.path) == []
    kept = leaking.node_home(NODE).log_file(f"run-{name}").read_text(encoding="utf-8", errors="replace")
    assert kept.count(str(ROW)) >= (len(ways) if ways == TRACED else ways == ("print",))


def test_what_an_app_fails_with_while_it_is_loaded_stays_at_the_node(leaking: Federation, tmp_path: Path) -> None:
    shutil.copytree(LEAKY, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    query = "FROM '/datalab/data.parquet' WHERE x <> round(x, 1)"
    with (tmp_path / "app" / "leaky" / "client_app.py").open("a", encoding="utf-8") as file:
        file.write(f'\nraise ValueError(duckdb.sql("{query}").fetchall())\n')
    approve(leaking.node_home(NODE), Candidate(tmp_path / "app"))
    with pytest.raises(RunFailedError, match="could not be loaded"):
        leaking.run([NODE], app=tmp_path / "app", run_id="loading")
    assert where(leaking.lab.path) == []
    assert where(leaking.node_home(NODE).path / "log") != []


def test_what_goes_wrong_at_the_node_itself_is_told_in_its_own_log(leaking: Federation) -> None:
    record = leaking.node_home(NODE).folder("approvals", digest(pack(ECHO))) / "approval.json"
    record.write_text("junk", encoding="utf-8")
    with pytest.raises(RunFailedError, match="its own log says why"):
        leaking.run([NODE])
    assert str(record) in leaking.node_home(NODE).log_file("node").read_text(encoding="utf-8")


def test_no_path_of_the_node_reaches_the_lab(leaking: Federation) -> None:
    """Runs after the others: whatever went wrong in them, nothing at the lab says where the node keeps its files."""
    home = str(leaking.node_home(NODE).path).encode()
    assert [path for path in leaking.lab.path.rglob("*") if path.is_file() and home in path.read_bytes()] == []
