"""What every template has: a README that says what leaves a site, described settings, a valid example."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from datalab.boundary import read_toml
from datalab.errors import BadInputError, NotFoundError
from federation.bundle import check_config, digest, pack
from federation.templates import FOLDER, copy_template, templates
from federation.trial import Sample

TEMPLATES = templates()


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_says_what_it_does(name: str) -> None:
    app, readme = TEMPLATES[name], (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert app.name == name
    assert "## What leaves a site" in readme
    assert set(app.parameters) == set(app.config)
    for setting, parameter in app.parameters.items():
        for words in (parameter, parameter.de, parameter.fr):
            assert words is not None
            assert words.label
            assert words.help
        assert f"| `{setting}` |" in readme
    example = read_toml(FOLDER / name / "run.toml")
    assert example["app"] == name
    check_config(app, example["config"])
    check_config(app, app.config)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_copy_is_the_same_app_without_links(name: str, tmp_path: Path) -> None:
    copy_template(name, tmp_path / "copy")
    assert digest(pack(tmp_path / "copy")) == digest(pack(FOLDER / name))
    with zipfile.ZipFile(io.BytesIO(pack(FOLDER / name))) as bundle:
        assert f"{name}/shared/__init__.py" in bundle.namelist()
        assert all(entry.external_attr >> 28 in (0, 8) for entry in bundle.infolist())  # plain files


def test_flower_itself_builds_a_copy_whole(tmp_path: Path) -> None:
    copy_template("regression", tmp_path / "copy")
    quiet = os.environ | {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    flwr = Path(sys.executable).with_name("flwr")
    subprocess.run(
        [flwr, "build", "--app", tmp_path / "copy"], cwd=tmp_path, env=quiet, check=True, capture_output=True
    )
    (built,) = tmp_path.glob("*.fab")
    with zipfile.ZipFile(built) as archive:
        assert "regression/shared/exchange.py" in archive.namelist()


def test_a_template_that_is_not_there_and_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no template nonsense"):
        copy_template("nonsense", tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadInputError, match="is not empty"):
        copy_template("regression", tmp_path)


def test_a_setting_out_of_its_range_is_refused_before_anything_starts() -> None:
    with pytest.raises(BadInputError, match=r"minimum-cell is at least 5 and at most 1000, and 1 is not"):
        check_config(TEMPLATES["regression"], {"minimum-cell": 1})


def test_a_sample_is_divided_by_its_column_site_or_in_turns(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text("site,x,kind\na,1,u\nb,2,v\na,3,w\n", encoding="utf-8")
    by_column = Sample.read(path, 3)
    assert by_column.columns == ("x", "kind")
    assert dict(by_column.sites) == {"site-1": [["1", "u"], ["3", "w"]], "site-2": [["2", "v"]]}
    kinds = [one["logicalType"] for one in by_column.contract()["schema"][0]["properties"]]
    assert kinds == ["number", "string"]
    path.write_text("x\n1\n2\n3\n", encoding="utf-8")
    assert {name: len(rows) for name, rows in Sample.read(path, 2).sites.items()} == {"site-1": 2, "site-2": 1}
    path.write_text("x,y\n1,2\n3\n4,5\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="Record 3 has another number of fields"):
        Sample.read(path, 2)
