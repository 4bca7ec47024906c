"""``datalab app new`` and ``datalab app test``: from a template to a run at virtual sites, through the real parts."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from datalab.service import python_module
from federation.templates import templates
from tests.support.local_grid import APPS

OTHERS = [name for name in templates() if name != "regression" and (name != "mlp" or find_spec("torch"))]
"""PyTorch is in no lock, since which build fits depends on the GPU."""


def datalab(*arguments: str | Path) -> str:
    done = subprocess.run(
        [*python_module("datalab"), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_copied_template_runs_at_virtual_sites(tmp_path: Path) -> None:
    app, kept = tmp_path / "mine", tmp_path / "kept"
    settings = ("--config", "features=age,sex", "--config", "categorical=sex", "--config", "log1p=")
    datalab("app", "new", "--template", "regression", app)
    assert not any(path.is_symlink() for path in app.rglob("*"))
    printed = datalab("app", "test", app, "--keep", kept, *settings)
    assert "completed at 3 sites: site-1, site-2, site-3" in printed
    report = json.loads((kept / "lab" / "runs" / "trial" / "artifacts" / "report.json").read_text(encoding="utf-8"))
    sample = pd.read_csv(APPS / "sample.csv")
    design = pd.DataFrame({"one": 1.0, "age": sample["age"], "male": (sample["sex"] == "male").astype(float)})
    exact = sm.Logit(sample["event"], design).fit(disp=0, tol=1e-14)
    np.testing.assert_allclose([one["estimate"] for one in report["coefficients"]], exact.params, atol=1e-8)
    np.testing.assert_allclose([one["standard_error"] for one in report["coefficients"]], exact.bse, atol=1e-8)


def test_a_setting_out_of_range_is_refused_before_anything_starts(tmp_path: Path) -> None:
    command = [*python_module("datalab"), "app", "test", str(APPS / "regression"), "--config", "minimum-cell=1"]
    done = subprocess.run([*command, "--keep", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "minimum-cell is at least 5 and at most 1000, and 1 is not" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("template", OTHERS)
def test_each_template_runs_on_its_sample(template: str, tmp_path: Path) -> None:
    assert "completed at 3 sites" in datalab("app", "test", APPS / template)
