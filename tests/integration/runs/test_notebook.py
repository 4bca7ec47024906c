"""Runs from Python: submitted by name, followed line by line, and in a notebook in one place that changes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

import datalab
from catalog.notebook import as_html
from catalog.progress import NodeProgress, Progress, Round
from catalog.run_records import RunState
from tests.integration.runs.conftest import PERMIT, Lab
from tests.support.federation import DATASET, ROOT

PYTHON = ROOT / ".peers" / "bin" / "python"
CELL = """
import datalab
lab = datalab.connect({url!r}, {token!r})
run = lab.runs.submit(app={app!r}, datasets=[{dataset!r}], permit={permit!r}, rounds=3, parameters={{"pause": 0.3}})
last = run.follow()
assert last.over
"""
IN_IPYTHON = """
import json, sys
sys.path += {paths!r}
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
with capture_output() as seen:
    done = shell.run_cell(sys.stdin.read())
done.raise_error()
json.dump([[one.data["text/html"], bool(one.update)] for one in seen.outputs], sys.stdout)
"""


def test_a_run_is_submitted_and_followed_line_by_line(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with datalab.connect(lab.home.address("lab")["url"], lab.token) as mine:
        run = mine.runs.submit(app=lab.app, datasets=[DATASET], permit=PERMIT, rounds=2)
        last = run.follow()
    assert (last.state, len(last.rounds)) == (RunState.FINISHED, 2)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(f"{run.id}: ") for line in lines)
    assert lines[-1] == f"{run.id}: finished, round 2 of 2, loss 2"


def test_nothing_that_an_app_or_a_node_says_is_markup() -> None:
    odd = "<script>alert(1)</script>"
    goes = Progress(
        id="run-1",
        state=RunState.RUNNING,
        seen="1",
        reason=odd,
        rounds_asked=4,
        rounds=(Round(number=1, loss=0.5, metrics={odd: 0.25}), Round(number=2)),
        nodes=(NodeProgress(name=odd, error=odd),),
    )
    html = as_html(goes)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 4
    assert '<progress max="4" value="1">' in html
    assert "<td>0.5</td><td>0.25</td>" in html


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="needs `make peers`")
def test_in_a_notebook_a_run_is_shown_in_one_place_that_changes(lab: Lab) -> None:
    paths = [str(ROOT), *(one for one in sys.path if one.endswith("site-packages"))]
    cell = CELL.format(url=lab.home.address("lab")["url"], token=lab.token, app=lab.app, dataset=DATASET, permit=PERMIT)
    done = subprocess.run(
        [str(PYTHON), "-c", textwrap.dedent(IN_IPYTHON.format(paths=paths))],
        input=cell,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [update for _, update in shown] == [False] + [True] * (len(shown) - 1)
    assert len(shown) > 2
    assert "finished, round 3 of 3" in shown[-1][0]
    assert "<table>" in shown[-1][0]
